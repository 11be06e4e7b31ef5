package portkey_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	openai "github.com/sashabaranov/go-openai"
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

// eachTag calls visit for the header tag of each field of a Headers or its groups.
func eachTag(typ reflect.Type, visit func(name string, secret bool)) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if name, flag, _ := strings.Cut(f.Tag.Get("header"), ","); name != "" {
			visit(name, flag == "secret")
		} else if f.Type.Kind() == reflect.Struct {
			eachTag(f.Type, visit)
		}
	}
}

// A new secret is then among what the tests below print.
func TestSecretHeadersHasEachSecret(t *testing.T) {
	t.Parallel()
	h := secretHeaders()
	set := map[string]bool{}
	taggedFields(reflect.ValueOf(h), func(header string, f reflect.Value) {
		b, _ := json.Marshal(f.Interface()) // not Headers' own
		set[header] = strings.Contains(string(b), secret)
	})
	harmless := []string{"x-portkey-aws-s3-object-key", "x-portkey-amz-server-side-encryption-aws-kms-key-id"} // names of keys
	var fields []string
	eachTag(reflect.TypeFor[portkey.Headers](), func(name string, secret bool) {
		sensitive := slices.Contains(portkey.SensitiveHeaders(), http.CanonicalHeaderKey(name))
		if sensitive && !set[name] {
			t.Errorf("secretHeaders has no secret in %s", name)
		}
		if sensitive != (secret || name == "x-portkey-config") {
			t.Errorf("%s: tagged as a secret: %t, in SensitiveHeaders: %t", name, secret, sensitive)
		}
		for _, word := range []string{"key", "secret", "token", "password", "passphrase", "credential", "service-account", "authorization"} {
			if strings.Contains(strings.TrimPrefix(name, "x-portkey-"), word) && !sensitive && !slices.Contains(harmless, name) {
				t.Errorf("%s is named like a secret, but not tagged as one", name)
			}
		}
		fields = append(fields, http.CanonicalHeaderKey(name))
	})
	for _, name := range portkey.SensitiveHeaders() {
		if strings.HasPrefix(name, "X-Portkey-") && !slices.Contains(fields, name) {
			t.Errorf("%s has no field", name)
		}
	}
}

// secretConfig has a secret in each text of a config, one of its targets and what is theirs.
func secretConfig() portkey.ConfigObject {
	var c, target portkey.ConfigObject
	for _, c := range []*portkey.ConfigObject{&c, &target} {
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Interface().(type) {
			case string:
				f.SetString(secret)
			case []string:
				f.Set(reflect.ValueOf([]string{secret}))
			case map[string]any:
				f.Set(reflect.ValueOf(map[string]any{secret: secret}))
			case map[string]string:
				f.Set(reflect.ValueOf(map[string]string{secret: secret}))
			}
		}
	}
	c.Targets = []portkey.ConfigObject{target}
	return c
}

// printables are values of the package, and values made of them, that hold a
// secret. wire are those whose JSON is their wire form, with the secrets.
func printables(t *testing.T) (all, wire map[string]any) {
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
	pointer := &h
	all = map[string]any{
		"Headers": h, "*Headers": &h, "**Headers": &pointer,
		"Options": opts, "*Options": &opts, "*Transport": tr, "Transport": trValue,
		"unexported": struct{ t any }{trValue}, "unexported pointer": struct{ t any }{tr},
		"Upstream": opts.Upstreams[0], "*Upstream": &opts.Upstreams[0], "slice of Upstreams": opts.Upstreams,
		"slug in Headers":         portkey.Headers{Config: portkey.ConfigSlug(`["` + secret + `"]`)},
		"ConfigObject in Headers": portkey.Headers{Config: secretConfig()},
		"struct":                  nested{h, h, &h}, "pointer to a struct": &nested{&h, h, &h}, "struct of structs": struct{ N []nested }{[]nested{{A: h.AWS}}},
		"slice": []portkey.Headers{h}, "slice of pointers": []*portkey.Headers{&h}, "array": [1]portkey.Headers{h}, "slice of any": []any{h, &h, opts.Upstreams},
		"map": map[string]portkey.Headers{"k": h}, "map of any": map[string]any{"k": &h}, "key of a map": map[portkey.AWS]bool{h.AWS: true},
		"http.Client": &http.Client{Transport: tr}, "*http.Client": http.Client{Transport: tr},
		"HeadersFromContext": portkey.HeadersFromContext(portkey.WithHeaders(t.Context(), good)),
	}
	if tr, ok := tr.(*portkey.Transport); ok { // go-openai's own token is go-openai's affair
		all["openai.ClientConfig"] = portkey.OpenAIConfig("", tr)
		wrapped, err := portkey.WrapOpenAIConfig(openai.ClientConfig{HTTPClient: doerFunc(nil)}, portkey.Options{Headers: good})
		if err != nil {
			t.Fatal(err)
		}
		all["openai.ClientConfig wrapped"], all["openai.Client"] = wrapped, openai.NewClientWithConfig(wrapped)
	}
	groups := reflect.ValueOf(&h).Elem()
	for i := range groups.NumField() {
		if f := groups.Field(i); f.Kind() == reflect.Struct {
			all[f.Type().Name()], all["*"+f.Type().Name()] = f.Interface(), f.Addr().Interface()
		}
	}

	// Contexts, and what is derived from them.
	good.Metadata, good.TraceID = portkey.Metadata{"a": secret}, secret
	info := portkey.ResponseInfo{TraceID: secret}
	type key struct{}
	for name, ctx := range map[string]context.Context{
		"WithTrace": portkey.WithTrace(t.Context(), secret), "WithMetadata": portkey.WithMetadata(t.Context(), good.Metadata),
		"WithHeaders": portkey.WithHeaders(t.Context(), good), "WithHeaders of bad ones": portkey.WithHeaders(t.Context(), h),
		"WithResponseInfo": portkey.WithResponseInfo(t.Context(), &info),
	} {
		cancelled, cancel := context.WithTimeout(ctx, time.Hour)
		cancel()
		all[name], all["a value on "+name], all["a timeout on "+name] = ctx, context.WithValue(ctx, key{}, "v"), cancelled
		all["a request of "+name] = newRequest(t, ctx, "GET", openAIChat, "")
	}

	// Errors, as they are and as a client wraps them.
	errs := []error{secretConfig().Validate()}
	for _, tt := range invalidHeaders[:12] {
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: tt.headers})
		errs = append(errs, err)
	}
	for _, opts := range []portkey.Options{
		{BaseURL: "http://u:" + secret + "@gw"}, {BaseURL: secret}, {Upstreams: opts.Upstreams, Headers: good}, {Upstreams: []portkey.Upstream{{BaseURL: "http://a", Provider: secret + "\n"}}, Headers: good},
	} {
		_, err := portkey.NewTransport(nil, opts)
		errs = append(errs, err)
	}
	base := roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, io.EOF })
	c := &http.Client{Transport: newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"})}
	for _, ctx := range []context.Context{
		portkey.WithTrace(t.Context(), secret+"\n"), portkey.WithMetadata(t.Context(), portkey.Metadata{"a": secret + "\xff"}), portkey.WithHeaders(t.Context(), portkey.Headers{APIKey: secret + "\n"}),
	} {
		_, err := c.Do(newRequest(t, ctx, "POST", openAIChat, `{"prompt":"`+secret+`"}`))
		errs = append(errs, err)
	}
	req := newRequest(t, t.Context(), "GET", "http://elsewhere.example/v1", "")
	ownHeaders(req.Header)
	_, err := c.Do(req)
	_, direct := c.Transport.RoundTrip(newRequest(t, t.Context(), "GET", "http://u:"+secret+"@elsewhere.example/v1?k="+secret, ""))
	for i, err := range append(errs, err, direct) {
		if err == nil {
			t.Errorf("error %d is none", i)
		}
		all[fmt.Sprint("error ", i)], all[fmt.Sprint("error wrapped ", i)] = err, fmt.Errorf("chat: %w", errors.Join(io.EOF, err))
	}

	object := secretConfig()
	wire = map[string]any{
		"ConfigJSON": h.Config, "ConfigSlug": portkey.ConfigSlug(`["` + secret + `"]`), "ConfigObject": object, "*ConfigObject": &object,
		"slice of Configs": []portkey.Config{h.Config, object}, "map of Configs": map[string]portkey.Config{"k": object},
		"struct of Configs": struct{ C, O portkey.Config }{h.Config, &object},
	}
	return all, wire
}

func checkPrinted(t *testing.T, name string, out ...string) {
	t.Helper()
	for _, s := range out {
		for _, leak := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint([]byte(secret))} {
			if strings.Contains(s, leak) {
				t.Errorf("%s is printed with its secret: %s", name, s)
				return
			}
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	all, wire := printables(t)
	both := maps.Clone(all)
	maps.Copy(both, wire)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		v := both[name]
		verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%e", "%c", "%U", "%T", "%z", "% x", "%10.3v", "%[2]v %[1]d"}
		if reflect.ValueOf(v).Kind() == reflect.Pointer {
			verbs = append(verbs, "%p") // of another kind fmt prints the parts, and asks no method
		}
		switch v.(type) {
		case context.Context, http.RoundTripper, *http.Client, error:
			verbs = append(verbs, "%w") // so it does here, and of what is no parameter that must show nothing
		}
		for _, verb := range verbs {
			checkPrinted(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		var text bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		checkPrinted(t, name, text.String(), fmt.Sprint(v), fmt.Sprintln(v), recovered(v))
		if v, ok := v.(slog.LogValuer); ok {
			checkPrinted(t, name, v.LogValue().String(), fmt.Sprint(v.LogValue().Resolve().Any()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b, err := json.Marshal(all[name])
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", all[name], slog.Group("g", "v", all[name]))
		checkPrinted(t, name+" as JSON", string(b), fmt.Sprint(err), log.String())
	}
	for _, name := range []string{"ConfigJSON", "ConfigSlug", "ConfigObject", "*ConfigObject"} { // logged by themselves, they are no JSON
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", wire[name], slog.Group("g", "v", wire[name]))
		checkPrinted(t, name+" logged as JSON", log.String())
	}
}

// recovered is what a server logs of a handler that panics.
func recovered(v any) (log string) {
	defer func() { log = fmt.Sprintf("http: panic serving: %v", recover()) }()
	panic(v)
}

// What the runtime prints of a panic that nobody recovers, in a process of its own.
func TestPanicShowsNoSecret(t *testing.T) {
	const child = "PORTKEY_TEST_PANIC"
	all, wire := printables(t)
	maps.Copy(all, wire)
	if os.Getenv(child) != "" {
		go panicWith(slices.Collect(maps.Values(all)))
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPanicShowsNoSecret$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if n := strings.Count(string(out), "panic: "); err == nil || n < len(all) {
		t.Fatalf("got %v and %d panics, want %d: %s", err, n, len(all), out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		checkPrinted(t, "a panic", line)
	}
}

// panicWith panics with all, each while the one before is under way: the runtime
// prints the whole chain.
func panicWith(all []any) {
	if len(all) > 0 {
		defer panicWith(all[1:])
		panic(all[0])
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

func TestConfigObjectAsASlugByMistakeIsNotMarshaled(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(struct{ C portkey.Config }{portkey.ConfigSlug(`{"api_key":"` + secret + `"}`)})
	checkPrinted(t, "ConfigSlug as JSON", string(b), fmt.Sprint(err))
}

func TestConfigJSONThatIsNotJSONIsNotMarshaled(t *testing.T) {
	t.Parallel()
	if b, err := portkey.ConfigJSON(secret).MarshalJSON(); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %s, %v, want an error without the value", b, err)
	}
}
