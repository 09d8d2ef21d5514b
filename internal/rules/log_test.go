package rules_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/run"
)

// firstKey gives the index of the first argument that is a key, of a call that writes to
// the log or makes one with keys; -1 where it is no such call.
func firstKey(call *ast.CallExpr) int {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return -1
	}
	switch name := sel.Sel.Name; {
	case name == "trace" && len(call.Args) > 2: // a service's own line about one message
		return 2
	case !isLog(sel.X):
	case slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, name):
		return 1
	case slices.Contains([]string{"DebugContext", "InfoContext", "WarnContext", "ErrorContext"}, name):
		return 2
	case name == "Log" || name == "LogAttrs":
		return 3
	case name == "With":
		return 0
	}
	return -1
}

func isLog(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.EqualFold(x.Name, "log") || x.Name == "base"
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "log") || x.Sel.Name == "base"
	case *ast.CallExpr:
		sel, ok := x.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "New"
	}
	return false
}

// Every key of the log is one that internal/run lists, and each of those is used.
func TestKeysOfTheLog(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range []string{"../../services", "../../client", "../../cmd", "../../internal"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				for _, key := range keysAt(n) {
					used[key] = true
					if run.Keys[key] == "" {
						t.Errorf("%s: internal/run/keys.go has no key %q", path, key)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key := range run.Keys {
		if !used[key] {
			t.Errorf("nothing is logged with the key %q", key)
		}
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(key) {
			t.Errorf("key %q is not of small letters", key)
		}
	}
}

// keysAt gives the keys that stand at a node: each second argument of a call, and each
// second element of a list of them.
func keysAt(n ast.Node) (keys []string) {
	var args []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		first := firstKey(n)
		if first < 0 || len(n.Args) < first {
			return nil
		}
		args = n.Args[first:]
	case *ast.CompositeLit:
		if list, ok := n.Type.(*ast.ArrayType); !ok || list.Len != nil || !isAny(list.Elt) || len(n.Elts)%2 != 0 {
			return nil
		}
		args = n.Elts
	}
	for i := 0; i < len(args); i += 2 {
		if lit, ok := args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			key, _ := strconv.Unquote(lit.Value)
			keys = append(keys, key)
		}
	}
	return keys
}

func isAny(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "any"
}
