package lookerauth

import (
	"encoding"
	"errors"
	"fmt"
)

// A type that holds secrets, be it behind pointers, has one text for all who print or encode it:
// that of its MarshalText, which encoding/json, encoding/xml and log/slog ask for. Its Format is
// [printWithout] that, and templates print with package fmt. What is written to be read back, as
// encoding/gob does, has no use for a text: if the type has exported fields with secrets, its
// MarshalBinary is [refuseBinary]. The methods are those of values, which pointers have, too:
// html/template prints what a pointer points to.

// printWithout writes a value that holds secrets as the text that it has for encoders, whatever the
// verb is: package fmt would print its fields with some of them.
func printWithout(f fmt.State, value encoding.TextMarshaler) {
	text, _ := value.MarshalText() // which never fails
	_, _ = f.Write(text)
}

// refuseBinary is how a value whose fields are secrets is encoded for programs.
func refuseBinary() ([]byte, error) {
	return nil, errors.New("lookerauth: an API key is not encoded, as it is secret")
}

// mask tells whether there is a secret, and nothing of it.
func mask(secret string) string {
	if secret == "" {
		return "[none]"
	}
	return "[set]"
}
