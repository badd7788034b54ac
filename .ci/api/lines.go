package main

import (
	"fmt"
	"go/types"
	"strings"
)

// packageAPI returns a line for each exported name of the package, and for each exported field and
// method of its types. The lines are like those of Go's own API. Types of other packages have their
// full path: another major version of a dependency is another type.
func packageAPI(pkg *types.Package) []string {
	a := api{pkg: pkg}
	for _, name := range pkg.Scope().Names() {
		object := pkg.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		switch object := object.(type) {
		case *types.Const:
			a.add("const %s %s = %s", name, a.text(object.Type()), object.Val().ExactString())
		case *types.Var:
			a.add("var %s %s", name, a.text(object.Type()))
		case *types.Func:
			a.add("func %s%s", name, a.signature(object))
		case *types.TypeName:
			a.addType(object)
		}
	}
	return a.lines
}

type api struct {
	pkg   *types.Package
	lines []string
}

func (a *api) add(format string, args ...any) {
	a.lines = append(a.lines, "pkg "+a.pkg.Name()+", "+fmt.Sprintf(format, args...)+"\n")
}

// text is a type as the package itself would write it, but for the paths of others.
func (a *api) text(t types.Type) string {
	return types.TypeString(t, types.RelativeTo(a.pkg))
}

// signature is what follows the name of the function: (a int) error.
func (a *api) signature(f *types.Func) string {
	return strings.TrimPrefix(a.text(f.Signature()), "func")
}

func (a *api) addType(object *types.TypeName) {
	name, t := a.text(object.Type()), object.Type()
	if object.IsAlias() {
		a.add("type %s = %s", object.Name(), a.text(types.Unalias(t)))
		return
	}
	switch under := t.Underlying().(type) {
	case *types.Struct:
		a.add("type %s struct", name)
		a.addFields(name, under)
	case *types.Interface:
		a.addInterface(name, under)
		return
	default:
		a.add("type %s %s", name, a.text(under))
	}
	values := types.NewMethodSet(t)
	methods := types.NewMethodSet(types.NewPointer(t))
	// A struct with methods on its pointer is not used as a value.
	_, isStruct := t.Underlying().(*types.Struct)
	if isStruct && types.Comparable(t) && exported(values) == exported(methods) {
		a.add("type %s struct, comparable", name)
	}
	for i := range methods.Len() {
		method := methods.At(i).Obj().(*types.Func)
		// What comes with an embedded field of another package's type is that package's matter.
		if !method.Exported() || method.Pkg() != nil && method.Pkg() != a.pkg {
			continue
		}
		receiver := name
		if values.Lookup(a.pkg, method.Name()) == nil {
			receiver = "*" + name
		}
		a.add("method (%s) %s%s", receiver, method.Name(), a.signature(method))
	}
}

// exported is how many of the methods are.
func exported(methods *types.MethodSet) (n int) {
	for method := range methods.Methods() {
		if method.Obj().Exported() {
			n++
		}
	}
	return n
}

// addFields adds the fields, those of embedded structs that are not exported among them.
func (a *api) addFields(name string, of *types.Struct) {
	for field := range of.Fields() {
		switch {
		case field.Exported() && field.Embedded():
			a.add("type %s struct, embedded %s", name, a.text(field.Type()))
		case field.Exported():
			a.add("type %s struct, %s %s", name, field.Name(), a.text(field.Type()))
		case field.Embedded():
			t := field.Type()
			if pointer, ok := t.Underlying().(*types.Pointer); ok {
				t = pointer.Elem()
			}
			if embedded, ok := t.Underlying().(*types.Struct); ok {
				a.addFields(name, embedded)
			}
		}
	}
}

// addInterface adds the methods; who has one that is not exported cannot be implemented elsewhere.
func (a *api) addInterface(name string, of *types.Interface) {
	a.add("type %s interface", name)
	if !of.IsMethodSet() {
		a.add("type %s interface, constraint %s", name, a.text(of))
	}
	for method := range of.Methods() {
		if method.Exported() {
			a.add("type %s interface, %s%s", name, method.Name(), a.signature(method))
		} else {
			a.add("type %s interface, unexported methods", name)
		}
	}
}
