// Package attend computes attention in fp32 without storing the matrix of scores. Its meaning is the naive loop over [Params], for every b, head h
// with hk = h*HK/H, and query m:
//
//	s[t]  = Scale * (sum over d of Q[b,h,m,d]*K[b,hk,t,d]) + Mask[b,h,m,t]      for the keys t that m may see
//	p[t]  = exp(s[t] - max s) / sum over t of exp(s[t] - max s)
//	Out[b,h,m,j] = sum over t of p[t]*V[b,hk,t,j]
//
// A mask of bools adds 0 where true and minus infinity where false. With Causal, query m sees key t where t <= m + (T - M). A query that sees no key, or
// scores of minus infinity only, gets NaN, as softmax gives; large finite masks give the uniform result of the unfused graph. Without keys (T = 0) results
// are zero.
//
// Keys are taken in blocks, the running maximum and sum of a query are corrected from block to block (Milakov and Gimelshein, Online normalizer calculation
// for softmax, 2018; Dao et al., FlashAttention, 2022). Many queries run on the matrix-product kernels of package gemm with blocks of K and V
// packed in scratch; few (decoding) on dot products and sums of rows straight from K and V. Which of the two, the blocks and the [Call.Chunks] follow
// from extents and strides alone, so the number of workers changes no bit.
package attend
