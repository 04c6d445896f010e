package program_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/llmc-go/llmc/runtime/program"
)

// Whatever field is added to a program, the file format must carry it, and the sample program must have it.
func TestEveryFieldIsKept(t *testing.T) {
	seen := map[string]bool{}
	var note func(v reflect.Value)
	note = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				note(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				note(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Field(i); !f.IsZero() {
					seen[v.Type().Name()+"."+v.Type().Field(i).Name] = true
					note(f)
				}
			}
		}
	}
	var b bytes.Buffer
	if err := program.Write(&b, full(), program.Options{}); err != nil {
		t.Fatal(err)
	}
	back, err := program.Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	note(reflect.ValueOf(back))
	// What is packed when it is written has no packing left to do; the others are numbers that are 0 in the sample.
	zero := map[string]bool{"Const.Pack": true, "Via.Operand": true, "Bind.Input": true, "State.Input": true, "State.Output": true, "Guard.A": true}
	for _, x := range []any{program.Step{}, program.Use{}, program.Via{}, program.Axis{}, program.Attr{}, program.LateDef{}, program.Pick{}, program.Body{}, program.Buf{},
		program.Entry{}, program.IO{}, program.Bind{}, program.State{}, program.Guard{}, program.Symbol{}, program.Const{}} {
		typ := reflect.TypeOf(x)
		for i := range typ.NumField() {
			name := typ.Name() + "." + typ.Field(i).Name
			if !seen[name] && !zero[name] {
				t.Errorf("%s: the sample program has none, or it is lost in the file", name)
			}
		}
	}
}
