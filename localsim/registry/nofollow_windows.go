package registry

// noFollow is not needed on Windows, where making a symbolic link needs a
// privilege.
const noFollow = 0
