// Package tiled runs tile programs ([tile.Program]) over strided operands: the groups map and rows, which are everything that is
// neither a contraction, a window nor attention. Its meaning is the naive loop
//
//	for each position p of the Par axes:
//		for each position r of the Red axes:  evaluate the program; a reducing opcode sees its operand at every r
//		store %k, v:                          operand k at (p, r) = v
//
// # Life of a program
//
//   - [Compile] verifies a program and picks a row of functions, once when a model is loaded.
//   - [Program.Bind] lays a program over operands of known extents and strides, once for each set of extents. The result, a [Call], is
//     reused by binding again: when sizes do not grow nothing is allocated.
//   - [Call.SetPtr] moves an operand between runs without binding again.
//   - [Call.RunChunk] does one of [Call.Chunks] independent parts. A call is read-only while it runs: parts may run at the same time, each
//     with its own [Scratch]. The zero Scratch is ready for use and grows at its first use, or in [Scratch.Reserve].
//
// # Space and operands
//
// The axes of the space are the Par axes and then the Red axes; idx and [Operand.Strides] number them in that order, and rargmax counts
// positions of the Red axes in row-major order. Operands are numbered inputs first, then results. A stride is in elements, 0 broadcasts,
// negative ones walk backwards; Ptr is the element at the origin.
// A result must not have stride 0 along a Par axis longer than 1, nor along a Red axis if its value differs along it. A value that is the same in a
// whole row may be stored per row (stride 0 along the Red axes) or to every element.
//
// An operand with [Via] is addressed through integers held by another operand: each adds index*Stride to the offset, where index is that
// operand's value at the same position. Values in [-Extent, Extent) count, negative ones from the end; any other is an [IndexError].
//
// A result may share storage with an input if both have the same element type and strides: an element is read for the last time before
// it is written, whatever the program's order. Any other overlap of a result with another operand is not allowed.
//
// # How it runs
//
// Every operand sees the space as three nested dimensions Q, O, I, each a list of axes. A tile is a range of O times a range of I at
// one place of Q, of about a thousand elements, so that the registers of a program stay in L1. A register holds what its value depends on:
// one element, a line along I, a column along O, or all; so broadcasts and values uniform in a row cost next to nothing. Without Red axes I is
// made of the innermost axes. With them I is either all Red axes (a tile is one or several rows) or the innermost Par axes with the Red axes as O
// (rows whose elements are not adjacent are done a block of columns at a time, so that memory is read as a stream). Registers that live from one
// phase to the next are kept for the whole row, or computed again where rows are long. Float32 sums are sums of at most 32 terms, added
// pairwise, in cascades or in float64; the order depends on extents only, so the number of workers changes no bit.
//
// The integers of class i64 are 64 bits wide and wrap; float to integer conversion truncates, and gives the smallest integer where the value does
// not fit. Comparisons, min and max of u64 see signed values. NaN counts as the largest and as the smallest element for rargmax and rargmin,
// as it does in numpy.
package tiled
