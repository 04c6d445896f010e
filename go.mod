module github.com/llmc-go/llmc

go 1.26.0

require (
	github.com/google/flatbuffers v25.12.19+incompatible // indirect
	github.com/mmcloughlin/avo v0.6.0 // indirect
	golang.org/x/arch v0.6.0 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
