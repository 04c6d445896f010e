module github.com/llmc-go/llmc

go 1.26
