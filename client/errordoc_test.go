package client_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/client"
)

// The type itself is in a package that users cannot read in go doc, so that its documentation
// stands at its name.
func TestTheFieldsOfErrorAreDocumented(t *testing.T) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "dial.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := doc.NewFromFiles(files, []*ast.File{file}, "client")
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, typ := range pkg.Types {
		if typ.Name == "Error" {
			said = typ.Doc
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[client.Error]()) {
		if field.IsExported() && !strings.Contains(said, "\t"+field.Name+" ") {
			t.Errorf("the documentation of client.Error has no field %s", field.Name)
		}
	}
}
