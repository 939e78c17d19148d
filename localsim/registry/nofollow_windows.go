package registry

// noFollow is not needed: making a symbolic link takes a privilege.
const noFollow = 0
