// Package irtest is what tests of the compiler share: golden text of passes, random graphs, random tensors, and
// comparison of numbers.
package irtest
