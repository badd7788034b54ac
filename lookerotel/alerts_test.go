package lookerotel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// match returns what the pattern's group is in text, and fails the test if that is not much.
func match(t *testing.T, text, pattern string, atLeast int) (found []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	if len(found) < atLeast {
		t.Fatalf("%q is %d times in the text, want at least %d", pattern, len(found), atLeast)
	}
	return found
}

// readText is for files that may be missing where the module is alone.
func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the module is alone: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Module incidents has the rules evaluated by Prometheus.
func TestAlertsAreAboutMetricsThatThereAre(t *testing.T) {
	var metrics, labels []string
	for _, figure := range figures {
		name := underscored(figure.name)
		if figure.unit == "s" {
			name += "_seconds"
		}
		if figure.kind == counter || figure.kind == secondsCounter {
			name += "_total"
		}
		metrics = append(metrics, name)
		for _, value := range figure.values {
			for _, attr := range value.attributes {
				labels = append(labels, underscored(string(attr.Key)))
			}
		}
	}
	alerts := readText(t, "alerts.yml")
	for _, name := range match(t, alerts, `\b((?:lookerauth|error)_\w+)`, 40) {
		if !slices.Contains(metrics, name) && !slices.Contains(labels, name) {
			t.Errorf("%s is no metric, and no attribute of one", name)
		}
	}
}

func underscored(name string) string { return strings.ReplaceAll(name, ".", "_") }

func TestEveryAlertHasASectionInTheRunbook(t *testing.T) {
	alerts := readText(t, "alerts.yml")
	runbook := readText(t, "../docs/operations.md")
	names := match(t, alerts, `- alert: (\w+)`, 10)
	severities := match(t, alerts, `\n +severity: (\w+)`, 10)
	const url = `runbook_url: https://github.com/lookerauth/lookerauth/blob/main/docs/operations.md#`
	sections := match(t, alerts, url+`([\w-]+)`, 10)
	if len(names) != len(sections) || len(names) != len(severities) {
		t.Fatalf("%d alerts have %d severities and %d sections",
			len(names), len(severities), len(sections))
	}
	for i, section := range sections {
		heading := "\n## " + strings.ReplaceAll(section, "-", " ") + "\n"
		if !strings.Contains(strings.ToLower(runbook), heading) {
			t.Errorf("%s leads to %s, which is not there", names[i], section)
		}
		row := fmt.Sprintf("| `%s` | %s | [", names[i], severities[i])
		_, row, _ = strings.Cut(runbook, row)
		if row, _, _ = strings.Cut(row, "\n"); !strings.HasSuffix(row, "](#"+section+") |") {
			t.Errorf("the runbook's table does not lead from %s to %s", names[i], section)
		}
	}
}
