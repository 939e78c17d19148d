// Package golden pins what users and stored files depend on: commands, exit
// codes, documents, metrics, and names. Its tests compare with testdata/golden;
// -update writes these files anew.
package golden
