package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are what all contestants have to cope with. Results are comparable if they are the same.
type settings struct {
	Slots    int           // logins that Looker serves at once
	Length   time.Duration // of a simulation, with its cold start
	Deadline time.Duration // of each request: it then leaves without a token
	Seed     uint64        // of the requests' times, and of how long logins take
}

// patience says for how long requests wait.
func (s settings) patience() string {
	if s.Deadline >= s.Length {
		return "wait for as long as it takes"
	}
	return fmt.Sprintf("leave after %v without a token", short(s.Deadline))
}

// options are what the program is to do.
type options struct {
	settings
	loads  []int // in percent of what Looker can log in
	scenes []scene

	picture, readme, record string // names of files; none if empty
}

// defaults let the program run for about two minutes on two cores.
var defaults = settings{
	Slots:    2,
	Length:   3 * time.Hour,
	Deadline: 30 * time.Second,
	Seed:     1,
}

const defaultLoads = "10,45,80,95,120"

// parse returns the options that the arguments say.
func parse(args []string, out io.Writer) (options, error) {
	o := options{settings: defaults, scenes: scenes}
	var names []string
	for _, s := range scenes {
		names = append(names, s.name)
	}
	flags := flag.NewFlagSet("capacity", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&o.Slots, "slots", o.Slots, "how many logins Looker serves at once")
	hours := flags.Float64("hours", o.Length.Hours(), "how long a simulation is, in its own time")
	loads := flags.String("load", defaultLoads, "loads in `percent` of what Looker can log in")
	flags.DurationVar(&o.Deadline, "deadline", o.Deadline,
		"how long a request waits for its token")
	flags.Uint64Var(&o.Seed, "seed", o.Seed, "makes another day of the same kind")
	only := flags.String("scene", "", "only this one: "+strings.Join(names, " or "))
	flags.StringVar(&o.picture, "o", "", "the `file` to draw to, such as capacity.svg")
	flags.StringVar(&o.readme, "readme", "", "put what is printed into this `file`, too")
	flags.StringVar(&o.record, "record", "",
		"write lookerauth's results to this `file`, as before.json has them")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.Length = time.Duration(*hours * float64(time.Hour)).Truncate(tick)
	if *only != "" {
		i := slices.Index(names, *only)
		if i < 0 {
			return options{}, fmt.Errorf("-scene must be %s", strings.Join(names, " or "))
		}
		o.scenes = scenes[i : i+1]
	}
	var err error
	if o.loads, err = parseLoads(*loads); err != nil {
		return options{}, err
	}
	return o, o.validate()
}

// parseLoads returns the loads in ascending order.
func parseLoads(list string) (loads []int, err error) {
	for _, text := range strings.Split(list, ",") {
		percent, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || percent < 1 || percent > 200 {
			return nil, fmt.Errorf("-load has %q: use whole numbers from 1 to 200", text)
		}
		loads = append(loads, percent)
	}
	slices.Sort(loads)
	return slices.Compact(loads), nil
}

func (o options) validate() error {
	var errs []error
	if o.Slots < 1 {
		errs = append(errs, errors.New("-slots must be 1 or more"))
	}
	for _, s := range o.scenes {
		if o.Length <= s.from {
			errs = append(errs, fmt.Errorf("-hours is too short: %s is counted from %v on",
				s.name, s.from))
		}
	}
	if o.Deadline <= 0 {
		errs = append(errs, errors.New("-deadline must be more than 0"))
	}
	return errors.Join(errs...)
}
