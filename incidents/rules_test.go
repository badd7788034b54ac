package incidents

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// rulesFile has the alert rules that users are to copy.
const rulesFile = "../lookerotel/alerts.yml"

// loadRules reads the rules as Prometheus does.
func loadRules(t *testing.T) (rules []rulefmt.Rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation,
		parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	for _, group := range groups.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

// alert is a time for which a rule's expression holds for some labels.
type alert struct {
	name       string
	of         string // the labels
	since      time.Time
	until      time.Time // the last look at which it holds
	fires      bool      // it held for long enough
	firing     time.Time // since when
	unresolved bool      // it holds at the end
}

func (a alert) String() string {
	return fmt.Sprintf("%s %s from %s to %s", a.name, a.of,
		a.since.UTC().Format(time.TimeOnly), a.until.UTC().Format(time.TimeOnly))
}

// evaluate returns all alerts, those that are only pending, too, by looking after each scrape.
func evaluate(t *testing.T, rules []rulefmt.Rule, over series) (alerts []alert) {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000,
		Timeout:    time.Minute,
		Parser:     parser.NewParser(parser.Options{}),
	})
	defer engine.Close()
	first, last := over.span()
	for _, rule := range rules {
		query, err := engine.NewRangeQuery(
			t.Context(), over, nil, rule.Expr, first, last, scrapePace)
		if err != nil {
			t.Fatalf("%s: %v", rule.Alert, err)
		}
		held, err := query.Exec(t.Context()).Matrix()
		if err != nil {
			t.Fatalf("%s: %v", rule.Alert, err)
		}
		for _, one := range held {
			alerts = append(alerts, alertsOf(rule, one, last)...)
		}
		query.Close()
	}
	return alerts
}

// alertsOf makes an alert of each time in which the rule's expression holds without a gap.
func alertsOf(rule rulefmt.Rule, one promql.Series, last time.Time) (alerts []alert) {
	for i, point := range one.Floats {
		at := time.UnixMilli(point.T)
		if i == 0 || at.Sub(time.UnixMilli(one.Floats[i-1].T)) > scrapePace {
			alerts = append(alerts, alert{name: rule.Alert, of: one.Metric.String(), since: at})
		}
		a := &alerts[len(alerts)-1]
		a.until = at
		a.firing = a.since.Add(time.Duration(rule.For))
		a.fires = !at.Before(a.firing)
		a.unresolved = at.Equal(last)
	}
	return alerts
}
