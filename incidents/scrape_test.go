package incidents

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// scrapePace is how often Prometheus looks.
const scrapePace = 15 * time.Second

// series are what Prometheus has collected, by the labels of each.
type series map[uint64]*oneSeries

type oneSeries struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// scrape collects what an instance shows now.
func (s series) scrape(t *testing.T, instance string, from prometheus.Gatherer) {
	families, err := from.Gather()
	if err != nil {
		t.Error(err)
	}
	now := time.Now().UnixMilli()
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			b := labels.NewScratchBuilder(8)
			b.Add(model.MetricNameLabel, family.GetName())
			b.Add("instance", instance)
			b.Add("job", "service")
			for _, pair := range metric.GetLabel() {
				b.Add(pair.GetName(), pair.GetValue())
			}
			b.Sort()
			value := metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			s.add(b.Labels(), sample{now, value})
		}
	}
}

func (s series) add(of labels.Labels, value sample) {
	one, ok := s[of.Hash()]
	if !ok {
		one = &oneSeries{labels: of}
		s[of.Hash()] = one
	}
	one.samples = append(one.samples, value)
}

// sample is a number at a time.
type sample struct {
	at    int64 // in milliseconds
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// Querier lets Prometheus' engine read them.
func (s series) Querier(_, _ int64) (storage.Querier, error) { return querier{s}, nil }

type querier struct{ series series }

func (q querier) Select(
	_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher,
) storage.SeriesSet {
	set := &seriesSet{}
	for _, one := range q.series {
		if matches(one.labels, matchers) {
			set.rest = append(set.rest, storage.NewListSeries(one.labels, one.samples))
		}
	}
	return set
}

func matches(of labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(of.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (q querier) LabelValues(
	context.Context, string, *storage.LabelHints, ...*labels.Matcher,
) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q querier) LabelNames(
	context.Context, *storage.LabelHints, ...*labels.Matcher,
) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q querier) Close() error { return nil }

// seriesSet gives out one series after the other.
type seriesSet struct {
	now  storage.Series
	rest []storage.Series
}

func (s *seriesSet) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.now, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *seriesSet) At() storage.Series                { return s.now }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// span is from the first to the last time of all samples.
func (s series) span() (first, last time.Time) {
	from, to := int64(math.MaxInt64), int64(0)
	for _, one := range s {
		from = min(from, one.samples[0].T())
		to = max(to, one.samples[len(one.samples)-1].T())
	}
	return time.UnixMilli(from), time.UnixMilli(to)
}
