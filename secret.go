package lookerauth

import (
	"encoding"
	"fmt"
)

// printWithout writes a value that holds secrets as the text that it has for encoders, whatever the
// verb is: package fmt would print its fields with some of them.
func printWithout(f fmt.State, value encoding.TextMarshaler) {
	text, _ := value.MarshalText() // which never fails
	_, _ = f.Write(text)
}

// mask tells whether there is a secret, and nothing of it.
func mask(secret string) string {
	if secret == "" {
		return "[none]"
	}
	return "[set]"
}
