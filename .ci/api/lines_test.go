package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

const source = `package p

import "container/list"

const Limit, text = 3, "not exported"
const Name Kind = "name"

var Err error

type Kind string
func (Kind) String() string { return "" }

type Alias = list.Element

func New(first *list.Element, options ...Option) (*Server, error) { return nil, nil }
func Map[K comparable, V any](m map[K]V) List[K] { return nil }
func hidden() {}

type Option struct { set func() }

type List[T any] []T
func (l List[T]) Len() int { return 0 }

type Server struct {
	URL, path string
	base
	*list.List
}
func (s *Server) Close() {}
func (s Server) hidden() {}

type base struct { Count int; lock chan int }
func (b base) Reset() {}

type Key struct { id string }
func (k Key) Name() string { return k.id }
func (k *Key) reset() {}

type Store interface { Get(name string) ([]byte, error); error; seal() }
type Number interface { ~int | ~string }
`

const want = `
const Limit untyped int = 3
const Name Kind = "name"
func Map[K comparable, V any](m map[K]V) List[K]
func New(first *container/list.Element, options ...Option) (*Server, error)
method (*Server) Close()
method (Key) Name() string
method (Kind) String() string
method (List[T any]) Len() int
method (Server) Reset()
type Alias = container/list.Element
type Key struct
type Key struct, comparable
type Kind string
type List[T any] []T
type Number interface
type Number interface, constraint interface{~int | ~string}
type Option struct
type Server struct
type Server struct, Count int
type Server struct, URL string
type Server struct, embedded *container/list.List
type Store interface
type Store interface, Error() string
type Store interface, Get(name string) ([]byte, error)
type Store interface, unexported methods
var Err error
`

func TestEveryExportedNameHasALine(t *testing.T) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	pkg, err := config.Check("example.com/p", fset, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}

	lines := packageAPI(pkg)

	slices.Sort(lines)
	got := strings.ReplaceAll("\n"+strings.Join(lines, ""), "\npkg p, ", "\n")
	if got != want {
		diff := compare(slices.Collect(strings.Lines(want)), slices.Collect(strings.Lines(got)))
		t.Errorf("the lines differ:\n%s", strings.Join(diff, ""))
	}
}

func TestCompareTellsWhatWentAndWhatCame(t *testing.T) {
	got := compare([]string{"a\n", "b\n", "d\n"}, []string{"a\n", "c\n", "d\n", "e\n"})

	if want := []string{"-b\n", "+c\n", "+e\n"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
