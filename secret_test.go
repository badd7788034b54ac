package lookerauth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"expvar"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	htmltemplate "html/template"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	texttemplate "text/template"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

const secretKey = "a key of 32 bytes for the Store."

// holders are values of every exported type, by the type's name, of a Cache that is in use. secrets
// are all that it has.
func holders(t *testing.T, looker *lookertest.Server) (all map[string][]any, secrets []string) {
	cfg := looker.Config()
	secrets = append(secrets, cfg.ClientID, cfg.ClientSecret)
	cfg.Store, cfg.StoreKeys = newMemoryStore(), [][]byte{[]byte(secretKey)}
	var login lookerauth.Login
	base := &indiscreet{base: cfg.Transport}
	cfg.Transport = base
	cfg.AfterLogin = func(_ context.Context, l lookerauth.Login) error {
		login = l
		return nil
	}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	service, user := cache.ServiceAccount(), cache.User("789")
	secrets = append(secrets, accessToken(t, service), accessToken(t, user))
	transport, ofContext := user.Transport(nil), cache.Transport(nil)
	withPassword := cfg
	withPassword.BaseURL = "https://me:" + cfg.ClientSecret + "@looker.example"
	key := lookerauth.APIKey{ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret}
	all = map[string][]any{
		"APIKey":         forms(key),
		"Cache":          forms(*cache),
		"Config":         append(forms(cfg), forms(withPassword)...),
		"CredentialType": {lookerauth.CredentialEmbed},
		"ExportOptions":  {lookerauth.ExportOptions{}},
		"Identity":       forms(user.Identity()),
		"Login":          append(forms(login), forms(*login.Client)...),
		"LoginFailures":  forms(cache.Stats().UserLogins.Failed),
		"LoginStats":     forms(cache.Stats().UserLogins),
		"Stats":          forms(cache.Stats()),
		"TokenSource":    append(forms(*user), forms(*service)...),
		"Transport": slices.Concat(
			forms(*transport), forms(*ofContext), forms(*user.Client())),
	}
	all["UserTokenRequest"] = forms(lookerauth.UserTokenRequest{Rejected: secrets[0]})
	inside := reflect.ValueOf(login.Client.Transport).Elem() // as html/template looks at it
	all["Login"] = append(all["Login"], inside)
	base.quoted = quoting(strings.Join(secrets, " "))
	_, err = cache.User("790").Token()
	all["CallError"] = forms(*callError(t, err))
	base.quoted, base.echo = nil, strings.Join(secrets, " ")
	_, err = cache.User("791").Token()
	all["CallError"] = append(all["CallError"], forms(*callError(t, err))...)
	_, err = cache.User("792").Token()
	callError(t, err)
	health := cache.Health()
	callError(t, health.Users.Err)
	all["Health"], all["LoginHealth"] = forms(health), forms(health.Users)
	all["FailureTimes"] = forms(health.Users.Reasons)
	base.echo = ""
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	return all, append(secrets, secretKey)
}

// quoting is an error that package fmt prints with its text, whatever the verb.
type quoting string

func (q quoting) Error() string { return string(q) }

// forms are the ways in which a value may be given to who prints it.
func forms[T any](value T) []any {
	type fields struct {
		Value   T
		Pointer *T
	}
	return []any{
		value, &value, *new(T), (*T)(nil), new(T),
		fields{value, &value}, &fields{value, &value}, []T{value}, []*T{&value},
		map[string]T{"value": value}, map[string]*T{"pointer": &value},
		map[string]any{"any": value},
		[]any{value, &value}, [1]T{value},
	}
}

// encoders write a value in every way that there is, with the error if that is refused.
func encoders() []func(value any) string {
	text := func(out []byte, err error) string { return fmt.Sprint(string(out), err) }
	all := []func(any) string{
		func(v any) string { return text(json.Marshal(v)) },
		func(v any) string { return text(xml.Marshal(v)) },
		func(v any) string {
			if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.IsNil() {
				return "" // at which gob panics
			}
			var out bytes.Buffer
			err := gob.NewEncoder(&out).Encode(v)
			return fmt.Sprint(out.String(), err)
		},
		func(v any) string { return expvar.Func(func() any { return v }).String() },
	}
	for _, handler := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		all = append(all, func(v any) string {
			var out bytes.Buffer
			slog.New(handler(&out)).With("with", v).Info("logged", slog.Group("group", "value", v))
			return out.String()
		})
	}
	for _, source := range []string{
		"{{.}}", `{{printf "%s" .}}`, "{{print .}}", `{{html .}} {{js .}} {{urlquery .}}`,
		"{{range .}}{{.}}{{end}}", "{{.Value}}{{.Pointer}}",
	} {
		asText := texttemplate.Must(texttemplate.New("").Parse(source))
		all = append(all, func(v any) string {
			var out bytes.Buffer
			err := asText.Execute(&out, v)
			return fmt.Sprint(out.String(), err)
		})
	}
	for _, source := range []string{
		"{{.}}", "<script>x = {{.}}</script>", `<a href="/?q={{.}}" title="{{.}}">`,
		"{{range .}}{{.}}{{end}}", "{{.Value}}{{.Pointer}}",
	} {
		asHTML := htmltemplate.Must(htmltemplate.New("").Parse(source))
		all = append(all, func(v any) string {
			var out bytes.Buffer
			err := asHTML.Execute(&out, v)
			return fmt.Sprint(out.String(), err)
		})
	}
	return all
}

// verbs are all that package fmt might know, with all flags.
func verbs() []string {
	var all []string
	for _, flag := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "60.60"} {
		for _, letter := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
			all = append(all, "%"+flag+string(letter))
		}
	}
	return all
}

// written are the forms in which package fmt and encoders write a secret that they are given.
func written(secret string) []string {
	all := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)]}
	for _, verb := range []string{"%x", "%X", "% x", "%#x", "%d", "%b", "%o", "%c", "%U"} {
		all = append(all, strings.Trim(fmt.Sprintf(verb, []byte(secret)), "[]"))
	}
	return all
}

// exportedTypes are the names of the package's exported types that are no interfaces.
func exportedTypes(t *testing.T) (names []string) {
	for _, file := range goFiles(t, ".") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if spec, ok := node.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				if _, ok := spec.Type.(*ast.InterfaceType); !ok {
					names = append(names, spec.Name.Name)
				}
			}
			return true
		})
	}
	return names
}

// isPlain reports whether the type has a secret in a field that anybody may read.
func isPlain(name string) bool {
	return name == "Config" || name == "APIKey" || name == "UserTokenRequest"
}

func TestNoValueTellsASecret(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		all, secrets := holders(t, looker)
		var hidden []string
		for _, secret := range secrets {
			hidden = append(hidden, written(secret)...)
		}
		check := func(name, how, text string) {
			for _, secret := range hidden {
				if strings.Contains(text, secret) {
					t.Errorf("%s, %s, tells %q: %s", name, how, secret, text)
				}
			}
		}
		for _, name := range exportedTypes(t) {
			values, ok := all[name]
			if !ok {
				t.Errorf("no value of type %s is printed here", name)
			}
			for _, value := range values {
				for _, verb := range verbs() {
					if isPlain(name) && strings.ContainsAny(verb, "pw") {
						continue // which package fmt answers by itself
					}
					check(name, fmt.Sprintf("a %T with %s", value, verb), fmt.Sprintf(verb, value))
				}
				for i, encode := range encoders() {
					check(name, fmt.Sprintf("a %T by encoder %d", value, i), encode(value))
				}
			}
		}
	})
}

func TestValuesThatHoldSecretsSayWhatTheyAre(t *testing.T) {
	cfg := testConfig()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{}
	withPassword := lookerauth.Config{BaseURL: "https://me:password@looker.example"}
	source, transport := cache.User("789"), cache.User("789").Transport(nil)
	for value, want := range map[any]string{
		&cfg: `lookerauth.Config{BaseURL: "https://looker.example", APIVersion: "", ` +
			`ClientID: [set], ClientSecret: [set], MaxUsers: 0, `,
		&lookerauth.Config{}: `lookerauth.Config{BaseURL: "", APIVersion: "", ClientID: [none], `,
		&withPassword:        `lookerauth.Config{BaseURL: "[not shown]", `,
		lookerauth.APIKey{ClientID: "x"}: "lookerauth.APIKey{ClientID: [set], " +
			"ClientSecret: [none]}",
		lookerauth.Login{UserID: "7", Client: client}: `lookerauth.Login{Identity: nobody, ` +
			`UserID: "7"}`,

		cache:                     `lookerauth.Cache{BaseURL: "https://looker.example:443"}`,
		*cache:                    `lookerauth.Cache{BaseURL: "https://looker.example:443"}`,
		source:                    "lookerauth.TokenSource{Identity: user:789}",
		*source:                   "lookerauth.TokenSource{Identity: user:789}",
		cache.User("7\n9"):        `lookerauth.TokenSource{Identity: "user:7\n9"}`,
		transport:                 "lookerauth.Transport{Identity: user:789}",
		*transport:                "lookerauth.Transport{Identity: user:789}",
		cache.Transport(nil):      "lookerauth.Transport{Identity: of each request's context}",
		new(lookerauth.Cache):     "lookerauth.Cache{",
		new(lookerauth.Transport): "lookerauth.Transport{",

		new(lookerauth.TokenSource):        "lookerauth.TokenSource{Identity: nobody}",
		[1]*lookerauth.TokenSource{source}: "[lookerauth.TokenSource{Identity: user:789}]",
	} {
		if got := fmt.Sprint(value); !strings.HasPrefix(got, want) {
			t.Errorf("printed as %s, want %s", got, want)
		}
	}
}

// A key that went lost silently would be missed later. Other encoders ask for the same method.
func TestGobRefusesAKey(t *testing.T) {
	for _, value := range []any{testConfig(), lookerauth.APIKey{ClientID: testID}} {
		err := gob.NewEncoder(new(bytes.Buffer)).Encode(value)
		checkErrorSays(t, err, "an API key is not encoded")
	}
}
