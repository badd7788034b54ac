package lookerotel

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/lookerauth/lookerauth"
)

func TestEveryMetricIsOfItsField(t *testing.T) {
	var all struct {
		Stats  lookerauth.Stats
		Health lookerauth.Health
	}
	want := make(map[string]uint64)
	setFields(reflect.ValueOf(&all).Elem(), "", want)
	delete(want, "Stats.Logins") // a sum of others
	for _, of := range []string{"Health.ServiceAccount.", "Health.Users."} {
		delete(want, of+"LastSuccess")
		delete(want, of+"FailingSince") // the first of its Reasons
	}
	for _, figure := range figures {
		for _, value := range figure.values {
			field := fieldOf(figure.name, value.attributes)
			if got := value.of(reading{all.Stats, all.Health}); got != want[field] {
				t.Errorf("%s with %v is %d, want %d, as %s has",
					figure.name, value.attributes, got, want[field], field)
			}
			delete(want, field)
		}
	}
	for field := range want {
		t.Errorf("%s is no metric", field)
	}
}

// setFields sets each field that is a number or a time to another one, and notes it by the field's
// path.
func setFields(s reflect.Value, path string, values map[string]uint64) {
	for i := range s.NumField() {
		field, name := s.Field(i), path+s.Type().Field(i).Name
		distinct := uint64(len(values) + 100)
		switch {
		case field.Type() == reflect.TypeFor[time.Time]():
			values[name] = distinct
			field.Set(reflect.ValueOf(time.Unix(0, int64(distinct))))
		case field.Kind() == reflect.Struct:
			setFields(field, name+".", values)
		case field.Kind() == reflect.Bool:
			values[name] = 1
			field.SetBool(true)
		case field.Kind() != reflect.Interface: // an error is no figure
			values[name] = distinct
			field.Set(reflect.ValueOf(distinct).Convert(field.Type()))
		}
	}
}

// fieldOf is the path of the field that a value must be of, by its name and its attributes.
func fieldOf(name string, attributes []attribute.KeyValue) string {
	has := make(map[attribute.Key]string)
	for _, attr := range attributes {
		has[attr.Key] = attr.Value.AsString()
	}
	switch name {
	case "lookerauth.logins":
		return "Stats." + loginField(has)
	case "lookerauth.waits":
		return "Stats.Waits" + camelCase(has["lookerauth.outcome"])
	case "lookerauth.service_account.token_life":
		return "Health.TokenLife"
	case "lookerauth.failing_since":
		of := map[string]string{"service_account": "ServiceAccount", "user": "Users"}
		field := "Health." + of[has["lookerauth.identity"]]
		return field + ".Reasons." + reasonField(has["error.type"])
	}
	return "Stats." + camelCase(strings.TrimPrefix(name, "lookerauth."))
}

// loginField is the path of the field of [lookerauth.Stats] that counts such logins.
func loginField(has map[attribute.Key]string) string {
	of := map[string]string{"service_account": "ServiceAccount.", "user": "UserLogins."}
	field := of[has["lookerauth.identity"]]
	reason, failed := has["error.type"]
	switch trigger := has["lookerauth.trigger"]; {
	case trigger == "caller" && !failed:
		return field + "Granted"
	case trigger == "refresh" && !failed:
		return field + "Refreshed"
	case trigger == "caller":
		field += "Failed."
	case trigger == "refresh":
		field += "RefreshFailed."
	}
	return field + reasonField(reason)
}

func reasonField(errorType string) string {
	if errorType == semconv.ErrorTypeOther.Value.AsString() {
		return "Other"
	}
	return camelCase(errorType)
}

var word = regexp.MustCompile(`(?:^|_)([a-z])`)

func camelCase(name string) string {
	return word.ReplaceAllStringFunc(name, func(start string) string {
		return strings.ToUpper(strings.TrimPrefix(start, "_"))
	})
}

func TestEveryMetricIsInThePackageComment(t *testing.T) {
	source, err := os.ReadFile("lookerotel.go")
	if err != nil {
		t.Fatal(err)
	}
	comment := strings.Join(strings.Fields(string(source)), " ")
	comment = strings.ReplaceAll(comment, " // ", " ")
	kinds := map[kind]string{
		gauge: "gauge", counter: "counter", secondsGauge: "gauge", secondsCounter: "counter",
	}
	check := func(text string) {
		t.Helper()
		if !strings.Contains(comment, text) {
			t.Errorf("%q is not in the package comment", text)
		}
	}
	for _, figure := range figures {
		check(figure.name + " " + figure.unit + " " + kinds[figure.kind])
		for _, value := range figure.values {
			for _, attr := range value.attributes {
				check(" " + string(attr.Key) + " ")
				check(" " + attr.Value.AsString())
			}
		}
	}
}
