package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var full = flag.Bool("full", false, "run all of other people's test suites, which takes minutes")

// A suite is the test suite of another module. It runs in a copy of the module, in a
// workspace with this library. The copy has one file more, suites/via_gateway.go.txt,
// and one expression in it is replaced: the one by which the module's clients call
// their http.Client. So the client of each test is wrapped, and no test is changed.
type suite struct {
	name, module, provider string
	file                   string            // the file with the expression
	call, wrapped          string            // a regexp for the expression, and its replacement
	add                    map[string]string // the files to add: their content, or for suites/via_gateway.go.txt its package
	sample                 bool              // runs without -full
	passes                 int               // at least as many tests pass, subtests included
	// fails are the tests that cannot pass, by package and name, with the reason.
	// refused are those that cannot pass if the client is rerouted.
	fails, refused map[string]string
}

const (
	userinfo    = "the base URL has a user and a password, which the Transport does not route"
	dotSegments = "the path has an escaped dot segment, which the Transport does not route"
)

var suites = []suite{
	{
		name: "go-openai", module: "github.com/sashabaranov/go-openai", provider: "openai", sample: true,
		// The library imports go-openai, so go-openai can only be given it by a test.
		file: "client.go", call: `(\w+\.config\.HTTPClient)\.Do\(`, wrapped: `ThroughGateway($1).Do(`,
		add: map[string]string{
			"via_gateway.go": "package openai\n\nvar ThroughGateway func(HTTPDoer) HTTPDoer\n",
			"via_gateway_init_test.go": `package openai_test

import (
	"net/http"

	"github.com/sashabaranov/go-openai"
)

func init() {
	openai.ThroughGateway = func(doer openai.HTTPDoer) openai.HTTPDoer {
		if c, ok := doer.(*http.Client); ok {
			return wrap(c)
		}
		return doer
	}
}
`,
			"via_gateway_test.go": "openai_test",
		},
		passes: 505,
	},
	{
		name: "openai-go", module: "github.com/openai/openai-go/v3", provider: "openai",
		file: "internal/requestconfig/requestconfig.go", call: `next: transport\}`, wrapped: `next: throughGateway(transport)}`,
		add: map[string]string{"internal/requestconfig/via_gateway.go": "requestconfig"},
		// The SDK's own transports for X.509 are not wrapped: it takes no others.
		passes: 4470,
		fails: map[string]string{
			"/internal/integrationtest.TestClientPreservesLegacyTransportCancellation": "its transport ignores contexts and wants CancelRequest, which net/http has deprecated",
		},
		refused: map[string]string{
			".TestAPIErrorFormatVerbs":                                                        userinfo,
			".TestAPIErrorImplicitDiagnostics":                                                userinfo,
			".TestAPIErrorPanicDiagnostics":                                                   userinfo,
			".TestWithDebugLogEmitsOnlyRedactedMetadata":                                      userinfo,
			".TestPathParamsAreEscaped/path_traversal_stays_inside_vector_store_id_segment":   dotSegments,
			".TestPathParamsAreEscaped/bare_dot_segments_stay_inside_vector_store_id_segment": dotSegments,
			".TestPathParamsAreEscaped/admin_path_traversal_stays_inside_project_id_segment":  dotSegments,
		},
	},
	{
		name: "anthropic-sdk-go", module: "github.com/anthropics/anthropic-sdk-go", provider: "anthropic",
		file: "internal/requestconfig/requestconfig.go", call: `handler := cfg\.HTTPClient\.Do`, wrapped: `handler := wrap(cfg.HTTPClient).Do`,
		add:    map[string]string{"internal/requestconfig/via_gateway.go": "requestconfig"},
		passes: 3707,
		refused: map[string]string{
			".TestOpenTelemetryRequestSpanHasTheMethodTheRouteAndTheURL": userinfo,
			".TestOpenTelemetryURLIsNotThatOfARedirect":                  "it is redirected from the gateway to another provider, which the Transport refuses",
		},
	},
}

func TestOtherPeoplesSuitesPass(t *testing.T) {
	// It answers the tests of an SDK's endpoints, which only check that there is no error.
	api := httptest.NewServer(reply(http.StatusOK, "{}"))
	t.Cleanup(api.Close)
	for _, s := range suites {
		if !s.sample && !*full {
			continue
		}
		dir := s.copy(t)
		for _, way := range []string{"direct", "rerouted"} {
			t.Run(s.name+"/"+way, func(t *testing.T) {
				passed, failed := s.run(t, dir, "SUITE="+way, "TEST_API_BASE_URL="+api.URL)
				t.Logf("%d tests pass, %d fail", passed, len(failed))
				if passed < s.passes {
					t.Errorf("%d tests pass, want at least %d", passed, s.passes)
				}
				fails := make(map[string]string)
				maps.Copy(fails, s.fails)
				if way == "rerouted" {
					maps.Copy(fails, s.refused)
				}
				for name, output := range failed {
					if fails[name] == "" {
						t.Errorf("%s failed:\n%s", name, output)
					}
				}
				for name := range fails {
					if _, ok := failed[name]; !ok {
						t.Errorf("%s does not fail", name)
					}
				}
			})
		}
	}
}

// copy returns a workspace with a copy of the module that uses the library.
func (s *suite) copy(t *testing.T) string {
	t.Helper()
	source, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", s.module).Output()
	if err != nil {
		t.Fatal(err)
	}
	library, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "suite"), os.DirFS(strings.TrimSpace(string(source)))); err != nil {
		t.Fatal(err)
	}
	write("go.work", fmt.Sprintf("go 1.26.0\n\nuse ./suite\nuse %q\n", library))

	text, err := os.ReadFile(filepath.Join(dir, "suite", s.file))
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(s.call)
	if !call.Match(text) {
		t.Fatalf("%s: got no match of %s", s.file, call)
	}
	write(filepath.Join("suite", s.file), call.ReplaceAllString(string(text), s.wrapped))

	template, err := os.ReadFile("suites/via_gateway.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range s.add {
		if !strings.Contains(text, "\n") {
			text = strings.NewReplacer("PACKAGE", text, "PROVIDER", s.provider).Replace(string(template))
		}
		write(filepath.Join("suite", name), text)
	}
	return dir
}

// run returns how many tests pass, subtests included, and what the others print.
func (s *suite) run(t *testing.T, dir string, env ...string) (passed int, failed map[string]string) {
	t.Helper()
	// -trimpath: the next run finds the packages in the build cache.
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-vet=off", "-trimpath", "-count=1", "./...")
	cmd.Dir = filepath.Join(dir, "suite")
	cmd.Env = append(os.Environ(), env...)
	cmd.Env = append(cmd.Env, "GOFLAGS=", "GOWORK="+filepath.Join(dir, "go.work"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	outputs := make(map[string]string)
	failed = make(map[string]string)
	events := json.NewDecoder(bytes.NewReader(stdout))
	for {
		var event struct{ Action, Package, Test, Output, ImportPath string }
		if err := events.Decode(&event); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the output of go test: %v\n%s", err, stderr.String())
		}
		name := strings.TrimPrefix(event.Package, s.module) + "." + event.Test
		switch {
		case event.Action == "build-output":
			t.Log(event.Output)
		case event.Action == "output":
			outputs[name] += event.Output
		case event.Action == "pass" && event.Test != "":
			passed++
		case event.Action == "fail":
			failed[name] = outputs[name]
		}
	}
	// A package fails with its tests, and a test with its subtests.
	maps.DeleteFunc(failed, func(name, _ string) bool {
		for other := range failed {
			if strings.HasPrefix(other, name+"/") || strings.HasSuffix(name, ".") && strings.HasPrefix(other, name) && other != name {
				return true
			}
		}
		return false
	})
	if passed == 0 {
		t.Fatalf("no test passed:\n%s", stderr.String())
	}
	return passed, failed
}
