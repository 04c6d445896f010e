// Package onnxpb reads ONNX models and values from their protobuf encoding, straight from the bytes of a mapped
// file: graphs become plain structs, weights stay where they are. It knows the wire format and the storage rules
// of tensors (onnx.proto and onnx-data.proto of ONNX 1.23), but nothing about operators.
//
// The bytes are not trusted. Nesting is limited, every length is checked against the bytes present, memory use is
// proportional to the file, and every error says at which byte of the file and in which field it arose. Where
// protobuf would merge a submessage that is given twice, this reader refuses it: no writer produces such files.
package onnxpb
