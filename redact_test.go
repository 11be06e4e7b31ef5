package portkey_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
)

// secretHeaders has a secret in each place that may hold one.
func secretHeaders() portkey.Headers {
	h := portkey.Headers{
		Provider: "openai", TraceID: "trace-1", Metadata: portkey.Metadata{"_user": "u1"},
		Config:     portkey.ConfigJSON(`{"api_key":"` + secret + `"}`),
		CustomHost: "https://user:" + secret + "@host", // refused, but printable before
		Extra:      map[string]string{"x-api-key": secret},
	}
	taggedFields(reflect.ValueOf(&h).Elem(), func(header string, f reflect.Value) {
		if slices.Contains(portkey.SensitiveHeaders(), http.CanonicalHeaderKey(header)) && f.Kind() == reflect.String {
			f.SetString(secret)
		}
	})
	return h
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	h := secretHeaders()
	opts := portkey.Options{BaseURL: "https://u:" + secret + "@gw", Headers: h, Upstreams: []portkey.Upstream{{BaseURL: "https://u:" + secret + "@up"}}}
	good := h
	good.CustomHost, good.Vertex.ServiceAccountJSON = "", `{"private_key":"`+secret+`"}`
	tr := newTransport(t, nil, portkey.Options{Headers: good})
	trValue := reflect.ValueOf(tr).Elem().Interface()
	type nested struct {
		A any
		H portkey.Headers
		P *portkey.Headers
	}
	values := map[string]any{
		"Headers": h, "*Headers": &h, "Config": h.Config,
		"Options": opts, "*Options": &opts, "*Transport": tr, "Transport": trValue,
		"unexported": struct{ t any }{trValue}, "unexported pointer": struct{ t any }{tr},
		"Upstream": opts.Upstreams[0], "slug": portkey.ConfigSlug(`["` + secret + `"]`),
		"slug in Headers": portkey.Headers{Config: portkey.ConfigSlug(`["` + secret + `"]`)},
		"struct":          nested{h, h, &h}, "slice": []portkey.Headers{h}, "map": map[string]portkey.Headers{"k": h},
		"http.Client": &http.Client{Transport: tr}, "*http.Client": http.Client{Transport: tr},
	}
	groups := reflect.ValueOf(&h).Elem()
	for i := range groups.NumField() {
		if f := groups.Field(i); f.Kind() == reflect.Struct {
			values[f.Type().Name()], values["*"+f.Type().Name()] = f.Interface(), f.Addr().Interface()
		}
	}
	for name, v := range values {
		var out []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%e", "%c", "%U", "%T", "%z", "%10.3v"} {
			out = append(out, fmt.Sprintf(verb, v))
		}
		var text, jsonLog bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewJSONHandler(&jsonLog, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		out = append(out, text.String(), jsonLog.String())
		if _, ok := v.(portkey.Config); !ok && name != "*Options" && name != "Options" { // its own JSON is its wire form
			b, err := json.Marshal(v)
			out = append(out, string(b), fmt.Sprint(err))
		}
		for _, s := range out {
			for _, leak := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
				if strings.Contains(s, leak) {
					t.Errorf("%s: %s", name, s)
				}
			}
		}
	}
}

func TestPrintedHeadersAreUseful(t *testing.T) {
	t.Parallel()
	h := portkey.Headers{
		APIKey: secret, Provider: "openai", Config: portkey.ConfigSlug("pc-1"), Metadata: portkey.Metadata{"b": "2", "a": "1"},
		Debug: portkey.Bool(false), AWS: portkey.AWS{Region: "eu-1", SessionToken: secret}, Extra: map[string]string{"X-Tenant": "t"},
	}
	const want = `portkey.Headers{x-portkey-api-key: "[redacted]", x-portkey-provider: "openai", x-portkey-config: "pc-1", ` +
		`x-portkey-metadata: "{\"a\":\"1\",\"b\":\"2\"}", x-portkey-debug: "false", x-portkey-aws-region: "eu-1", ` +
		`x-portkey-aws-session-token: "[redacted]", x-tenant: "[redacted]"}`
	if got := fmt.Sprint(h); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b, err := json.Marshal(h.AWS)
	if got, want := string(b), `{"x-portkey-aws-region":"eu-1","x-portkey-aws-session-token":"[redacted]"}`; got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	tr := newTransport(t, nil, portkey.Options{BaseURL: "http://gw.example/v1", Headers: h})
	if got, want := fmt.Sprint(tr), "portkey.Transport{gateway: http://gw.example/v1, headers: [x-portkey-api-key "; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want it to begin with %s", got, want)
	}
}

func TestConfigJSONsOwnJSONIsItsWireForm(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(portkey.ConfigJSON(`{ "a": 1 }`))
	if string(b) != `{"a":1}` || err != nil {
		t.Errorf("got %s, %v", b, err)
	}
	if b, err := json.Marshal(portkey.ConfigJSON(secret)); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %s, %v, want an error without the value", b, err)
	}
}

func TestSensitiveHeadersAreTheCallers(t *testing.T) {
	t.Parallel()
	names := portkey.SensitiveHeaders()
	for _, want := range []string{
		"X-Portkey-Api-Key", "X-Portkey-Virtual-Key", "X-Portkey-Config", "X-Portkey-Aws-Secret-Access-Key",
		"X-Portkey-Aws-Session-Token", "X-Portkey-Aws-Access-Key-Id", "Authorization", "Api-Key", "X-Api-Key",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing from %v", want, names)
		}
	}
	names[0] = "changed"
	if slices.Contains(portkey.SensitiveHeaders(), "changed") {
		t.Error("a change of the slice is seen by others")
	}
}

func TestPrintedValueThatCannotBeSentIsNotShown(t *testing.T) {
	t.Parallel()
	for _, h := range []portkey.Headers{
		{Metadata: portkey.Metadata{"k": secret + "\xff"}}, {SpanID: secret + "\n"}, {CustomHost: "ftp://" + secret},
		{Config: portkey.ConfigSlug(`{"api_key":"` + secret + `"}`)},
	} {
		if got := fmt.Sprint(h); strings.Contains(got, secret) || !strings.Contains(got, "[invalid]") && !strings.Contains(got, "[redacted]") {
			t.Errorf("got %s, want [invalid]", got)
		}
	}
}

func TestLoggedHeadersAreUseful(t *testing.T) {
	t.Parallel()
	h := portkey.Headers{APIKey: secret, Provider: "openai", AWS: portkey.AWS{Region: "eu-1", SessionToken: secret}}
	opts := portkey.Options{BaseURL: "http://gw.example", Headers: h}
	var text, jsonLog bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&jsonLog, nil)} {
		slog.New(handler).Info("m", "h", h, "aws", h.AWS, "opts", opts)
	}
	for _, want := range []string{`h.x-portkey-api-key=[redacted] h.x-portkey-provider=openai `, ` aws.x-portkey-aws-region=eu-1 aws.x-portkey-aws-session-token=[redacted] `} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("got %s, want it to contain %s", &text, want)
		}
	}
	for _, want := range []string{`"h":{"x-portkey-api-key":"[redacted]","x-portkey-provider":"openai",`, `"opts":"portkey.Options{BaseURL: `} {
		if !strings.Contains(jsonLog.String(), want) {
			t.Errorf("got %s, want it to contain %s", &jsonLog, want)
		}
	}
}

func TestPrintedOptionsAreUseful(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{NewTraceID: noTrace, Upstreams: []portkey.Upstream{
		{BaseURL: "https://a.example", Provider: "a\nb"}, {BaseURL: "a.example"}, {BaseURL: "https://c.example"},
	}}
	const want = `portkey.Options{BaseURL: "", Headers: portkey.Headers{}, Upstreams: ["a\nb" at "https://a.example", "" at [invalid], "" at "https://c.example"], ` +
		`Filter: false, NewTraceID: true}`
	if got := fmt.Sprint(opts); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := fmt.Sprint(portkey.Transport{}); !strings.HasPrefix(got, "portkey.Transport{") || strings.Contains(got, "PANIC") {
		t.Errorf("got %s for a zero Transport", got)
	}
}

func TestPrintedOrderIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	h := portkey.Headers{Extra: map[string]string{"x-d": "1", "x-b": "1", "x-a": "1", "x-c": "1"}}
	for range 20 {
		const want = `portkey.Headers{x-a: "[redacted]", x-b: "[redacted]", x-c: "[redacted]", x-d: "[redacted]"}`
		if got := fmt.Sprint(h); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		tr := newTransport(t, nil, portkey.Options{BaseURL: "http://gw.example", Headers: h})
		if got, want := fmt.Sprint(tr), "portkey.Transport{gateway: http://gw.example, headers: [x-a x-b x-c x-d]}"; got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		if names := portkey.SensitiveHeaders(); !slices.IsSorted(names) || !slices.Contains(names, "X-Goog-Api-Key") {
			t.Fatalf("got %v, want all in order", names)
		}
	}
}

func TestConfigJSONThatIsNotJSONIsNotMarshaled(t *testing.T) {
	t.Parallel()
	if b, err := portkey.ConfigJSON(secret).MarshalJSON(); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %s, %v, want an error without the value", b, err)
	}
}
