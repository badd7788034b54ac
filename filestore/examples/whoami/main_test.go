package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// setEnv leads the program to the Looker of cfg; to none if cfg is empty.
func setEnv(t *testing.T, cfg lookerauth.Config) {
	t.Helper()
	t.Setenv("LOOKERSDK_BASE_URL", cfg.BaseURL)
	t.Setenv("LOOKERSDK_CLIENT_ID", cfg.ClientID)
	t.Setenv("LOOKERSDK_CLIENT_SECRET", cfg.ClientSecret)
	t.Setenv("LOOKERSDK_API_VERSION", cfg.APIVersion)
	t.Setenv("LOOKERSDK_VERIFY_SSL", "")
	t.Setenv("LOOKERSDK_TIMEOUT", "")
}

func TestSecondRunMakesNoLogin(t *testing.T) {
	for _, version := range []string{"", "3.1"} {
		looker := lookertest.New(t, lookertest.WithAPIVersions("3.1", "4.0"))
		cfg := looker.Config()
		cfg.APIVersion = version
		setEnv(t, cfg)
		dir := filepath.Join(t.TempDir(), "tokens")
		args := []string{"-cache", dir, "-user", "7", "-user", "8"}
		for _, want := range []string{
			"logins: 3, whose tokens are now in " + dir, "no login: the tokens were in " + dir,
		} {
			out := output(t, args...)
			for _, line := range []string{"as user 1,", "as user 7,", "as user 8,", want} {
				if !strings.Contains(out, line) {
					t.Errorf("%q is missing in:\n%s", line, out)
				}
			}
		}
		if n := looker.Count(lookertest.OpLogin, ""); n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	}
}

func TestFakeIsAskedTwice(t *testing.T) {
	setEnv(t, lookerauth.Config{})
	first, second, _ := strings.Cut(output(t), "second run")
	if !strings.Contains(first, "logins: 3,") || !strings.Contains(second, "no login:") {
		t.Errorf("printed:\n%s\n%s", first, second)
	}
}

func TestFolderInYourCachesIsTheDefault(t *testing.T) {
	setEnv(t, lookertest.New(t).Config())
	t.Setenv("HOME", t.TempDir()) // for what is not Linux
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if out := output(t); !strings.Contains(out, "lookerauth-whoami") {
		t.Errorf("printed:\n%s", out)
	}
}

func TestFailuresAreErrors(t *testing.T) {
	looker := lookertest.New(t)
	looker.SetUsers(lookertest.User{ID: "7"})
	setEnv(t, looker.Config())
	for args, want := range map[string]string{
		"-cache /dev/null": "not a directory",
		"more":             "name each user with -user ID",
		"-user 8 -cache D": "User takes the id that Looker gave the user",
	} {
		args = strings.ReplaceAll(args, "D", filepath.Join(t.TempDir(), "tokens"))
		err := run(t.Context(), strings.Fields(args), &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", args, err, want)
		}
	}
}

func output(t *testing.T, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
