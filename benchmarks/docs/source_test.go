package main

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sources calls visit for every .go file of the module.
func sources(t *testing.T, visit func(path string, text []byte)) {
	t.Helper()
	root := filepath.Join("..", "..")
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != root && (name == "testdata" || name == "tools" || strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		visit(path, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 100 {
		t.Fatalf("found %d files: is the root right?", n)
	}
}

func TestFormatted(t *testing.T) {
	sources(t, func(path string, text []byte) {
		want, err := format.Source(text)
		switch {
		case err != nil:
			t.Errorf("%s: %v", path, err)
		case !bytes.Equal(text, want):
			t.Errorf("%s: run gofmt", path)
		}
	})
}

// Every package says what it is, and every exported function, method and type what it does.
func TestDocumented(t *testing.T) {
	said := map[string]bool{} // by folder
	sources(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, text, parser.ParseComments)
		if err != nil {
			t.Error(err)
			return
		}
		dir := filepath.Dir(path)
		said[dir] = said[dir] || f.Doc.Text() != ""
		if ast.IsGenerated(f) {
			said[dir] = said[dir] || strings.Contains(filepath.ToSlash(path), "/internal/fb/")
			return
		}
		last := -1 // the last line of what has a comment: one may speak of several functions without a gap
		for _, d := range f.Decls {
			names := undocumented(d)
			if len(names) > 0 && files.Position(d.Pos()).Line != last+1 {
				t.Errorf("%s: no comment for %s", path, strings.Join(names, ", "))
				continue
			}
			last = files.Position(d.End()).Line
		}
	})
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s: the package has no comment", dir)
		}
	}
}

// undocumented lists what a declaration exports without a comment.
func undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !wellKnown[d.Name.Name] {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		var l []string
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					l = append(l, s.Name.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					l = append(l, s.Names[0].Name)
				}
			}
		}
		return l
	}
	return nil
}

// wellKnown are methods whose meaning an interface of the standard library gives.
var wellKnown = map[string]bool{"Error": true, "String": true, "Unwrap": true, "Len": true, "Less": true, "Swap": true}

// exportedReceiver reports whether a function is none of a hidden type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	x := d.Recv.List[0].Type
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	if index, ok := x.(*ast.IndexExpr); ok {
		x = index.X
	}
	id, ok := x.(*ast.Ident)
	return !ok || id.IsExported()
}
