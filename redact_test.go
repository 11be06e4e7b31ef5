package portkey_test

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"encoding/xml"
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

// secretHeaders returns Headers with a secret in each field that may have one.
func secretHeaders() portkey.Headers {
	h := portkey.Headers{
		Provider: "openai", TraceID: "trace-1", Metadata: portkey.Metadata{"_user": "u1"},
		Config:     portkey.ConfigJSON(`{"api_key":"` + secret + `"}`),
		CustomHost: "https://user:" + secret + "@host", // invalid, but may be printed before it is checked
		Extra:      map[string]string{"x-api-key": secret},
	}
	taggedFields(reflect.ValueOf(&h).Elem(), func(header string, f reflect.Value) {
		if isSecret(header) && f.Kind() == reflect.String {
			f.SetString(secret)
		}
	})
	return h
}

// validSecretHeaders returns the secretHeaders without those that NewTransport rejects.
func validSecretHeaders() portkey.Headers {
	h := secretHeaders()
	h.CustomHost, h.Vertex.ServiceAccountJSON = "", `{"private_key":"`+secret+`"}`
	h.Authorization = "Bearer " + secret
	return h
}

func isSecret(header string) bool {
	return slices.Contains(portkey.SecretHeaders(), http.CanonicalHeaderKey(header))
}

// eachHeaderTag calls visit for the header tag of each field of a Headers and of its groups.
func eachHeaderTag(typ reflect.Type, visit func(header string, secret bool)) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if header, flag, _ := strings.Cut(f.Tag.Get("header"), ","); header != "" {
			visit(header, flag == "secret")
		} else if f.Type.Kind() == reflect.Struct {
			eachHeaderTag(f.Type, visit)
		}
	}
}

// The other tests of this file print secretHeaders: a new secret field must be part of them.
func TestEverySecretFieldIsTaggedAndTested(t *testing.T) {
	t.Parallel()
	hasSecret := map[string]bool{}
	taggedFields(reflect.ValueOf(secretHeaders()), func(header string, f reflect.Value) {
		text, _ := json.Marshal(f.Interface()) // a field alone is not redacted
		hasSecret[header] = strings.Contains(string(text), secret)
	})
	namesOfKeys := []string{"x-portkey-aws-s3-object-key", "x-portkey-amz-server-side-encryption-aws-kms-key-id"}
	var fields []string
	eachHeaderTag(reflect.TypeFor[portkey.Headers](), func(header string, tagged bool) {
		fields = append(fields, http.CanonicalHeaderKey(header))
		t.Run(header, func(t *testing.T) {
			listed := isSecret(header)
			if want := tagged || header == "x-portkey-config"; listed != want {
				t.Errorf("in SecretHeaders: got %v, want %v as in its tag", listed, want)
			}
			if listed && !hasSecret[header] {
				t.Error("secretHeaders has no secret in its field")
			}
			for _, word := range []string{
				"key", "secret", "token", "password", "passphrase", "credential", "service-account", "authorization",
			} {
				soundsSecret := strings.Contains(strings.TrimPrefix(header, "x-portkey-"), word)
				if soundsSecret && !listed && !slices.Contains(namesOfKeys, header) {
					t.Errorf("name contains %q, but its tag has no secret", word)
				}
			}
		})
	})
	for _, name := range portkey.SecretHeaders() {
		if strings.HasPrefix(name, "X-Portkey-") && !slices.Contains(fields, name) {
			t.Errorf("%s is in SecretHeaders, but has no field", name)
		}
	}
}

// secretConfig returns a config and a target with a secret in each text, list and map.
func secretConfig() portkey.ConfigObject {
	var config, target portkey.ConfigObject
	for _, c := range []*portkey.ConfigObject{&config, &target} {
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Interface().(type) {
			case string:
				f.SetString(secret)
			case []string:
				f.Set(reflect.ValueOf([]string{secret}))
			case map[string]any:
				f.Set(reflect.ValueOf(map[string]any{secret: secret}))
			case []portkey.Deployment:
				f.Set(reflect.ValueOf([]portkey.Deployment{{DeploymentID: secret, Extra: map[string]any{secret: secret}}}))
			}
		}
	}
	config.Targets = []portkey.ConfigObject{target}
	return config
}

// secretConfigs returns configs that contain a secret, alone and in other values.
// Their JSON is what the gateway receives, and is not redacted.
func secretConfigs() map[string]any {
	text, object := portkey.ConfigJSON(`{"api_key":"`+secret+`"}`), secretConfig()
	return map[string]any{
		"ConfigJSON":        text,
		"ConfigSlug":        portkey.ConfigSlug(`["` + secret + `"]`),
		"ConfigObject":      object,
		"*ConfigObject":     &object,
		"slice of Configs":  []portkey.Config{text, object},
		"map of Configs":    map[string]portkey.Config{"k": object},
		"struct of Configs": struct{ C, O portkey.Config }{text, &object},
	}
}

// secretValues returns values that contain a secret, which neither fmt, log/slog nor encoding/json may show.
func secretValues(t *testing.T) map[string]any {
	t.Helper()
	all := map[string]any{}
	maps.Copy(all, secretOptionsAndHeaders())
	maps.Copy(all, secretTransports(t))
	maps.Copy(all, secretContexts(t))
	for name, err := range secretErrors(t) {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
		all["error: "+name] = err
		all["wrapped error: "+name] = fmt.Errorf("chat: %w", errors.Join(io.EOF, err))
	}
	return all
}

func secretOptionsAndHeaders() map[string]any {
	h := secretHeaders()
	pointer := &h
	upstreams := []portkey.Upstream{{BaseURL: "https://u:" + secret + "@up"}}
	opts := portkey.Options{BaseURL: "https://u:" + secret + "@gw", Headers: h, Upstreams: upstreams}
	type nested struct {
		A any
		H portkey.Headers
		P *portkey.Headers
	}
	all := map[string]any{
		"Headers":                h,
		"*Headers":               pointer,
		"**Headers":              &pointer,
		"Headers with a slug":    portkey.Headers{Config: portkey.ConfigSlug(`["` + secret + `"]`)},
		"Headers with an object": portkey.Headers{Config: secretConfig()},
		"Options":                opts,
		"*Options":               &opts,
		"Upstream":               upstreams[0],
		"*Upstream":              &upstreams[0],
		"slice of Upstreams":     upstreams,
		"struct":                 nested{h, h, &h},
		"pointer to a struct":    &nested{&h, h, &h},
		"struct of structs":      struct{ N []nested }{[]nested{{A: h.AWS}}},
		"slice":                  []portkey.Headers{h},
		"slice of pointers":      []*portkey.Headers{&h},
		"slice of any":           []any{h, &h, upstreams},
		"array":                  [1]portkey.Headers{h},
		"map":                    map[string]portkey.Headers{"k": h},
		"map of any":             map[string]any{"k": &h},
		"map key":                map[portkey.AWS]bool{h.AWS: true},
	}
	groups := reflect.ValueOf(&h).Elem()
	for i := range groups.NumField() {
		if f := groups.Field(i); f.Kind() == reflect.Struct {
			all[f.Type().Name()], all["*"+f.Type().Name()] = f.Interface(), f.Addr().Interface()
		}
	}
	addHolders(all, "Headers", h)
	addHolders(all, "Options", opts)
	addHolders(all, "Upstream", upstreams[0])
	addHolders(all, "AWS", h.AWS)
	type (
		headers           = portkey.Headers
		embedded          struct{ portkey.Headers }
		embeddedPointer   struct{ *portkey.Headers }
		embeddedLowerCase struct{ headers } // an unexported field, whose methods are exported
		embeddedOptions   struct{ *portkey.Options }
	)
	all["embedded Headers"] = embedded{h}
	all["embedded *Headers"] = embeddedPointer{&h}
	all["embedded alias of Headers"] = embeddedLowerCase{h}
	all["embedded *Options"] = embeddedOptions{&opts}
	return all
}

// addHolders adds values that hold v and a pointer to v where fmt can call their methods.
func addHolders[T any](all map[string]any, name string, v T) {
	type holder struct {
		Value     T
		Pointer   *T
		Interface any
	}
	p := &v
	for holderName, value := range map[string]any{
		"struct":                       holder{v, p, v},
		"pointer to a struct":          &holder{v, p, p},
		"struct in a struct":           struct{ Inner holder }{holder{v, p, v}},
		"struct with a double pointer": struct{ Pointers **T }{&p},
		"unexported double pointer":    struct{ pointers **T }{&p},
		"struct of slices": struct {
			Values   []T
			Pointers []*T
			Array    [1]T
		}{[]T{v}, []*T{p}, [1]T{v}},
		"struct of maps": struct {
			Values     map[string]T
			Pointers   map[string]*T
			Interfaces map[string]any
		}{map[string]T{"k": v}, map[string]*T{"k": p}, map[string]any{"k": p}},
		"slice of structs": []holder{{v, p, v}},
	} {
		all[name+": "+holderName] = value
	}
}

// addUnexported adds values that hold v in unexported fields, where fmt cannot call its methods.
func addUnexported[T any](all map[string]any, name string, v T) {
	type holder struct{ v T }
	for holderName, value := range map[string]any{
		"unexported":                   holder{v},
		"pointer to unexported":        &holder{v},
		"unexported interface":         struct{ v any }{v},
		"unexported slice":             struct{ v []T }{[]T{v}},
		"unexported map":               struct{ v map[string]T }{map[string]T{"k": v}},
		"unexported pointer":           struct{ v *T }{&v},
		"unexported struct":            struct{ v holder }{holder{v}},
		"unexported pointer to one":    struct{ v *holder }{&holder{v}},
		"slice of pointers to structs": []*holder{{v}},
	} {
		all[name+": "+holderName] = value
	}
}

func secretTransports(t *testing.T) map[string]any {
	t.Helper()
	opts := portkey.Options{Headers: validSecretHeaders()}
	tr := newTransport(t, nil, opts)
	value := reflect.ValueOf(tr).Elem().Interface()
	all := map[string]any{
		"Transport":    value,
		"*Transport":   tr,
		"http.Client":  http.Client{Transport: tr},
		"*http.Client": &http.Client{Transport: tr},
	}
	addUnexported(all, "*Transport", tr)
	addUnexported(all, "*http.Client", &http.Client{Transport: tr})
	if tr, ok := tr.(*portkey.Transport); ok { // not so with the build tag naive
		addHolders(all, "Transport", *tr)
		addUnexported(all, "Transport", *tr)
		wrapped, err := portkey.WrapOpenAIConfig(openai.ClientConfig{HTTPClient: doerFunc(nil)}, opts)
		if err != nil {
			t.Fatal(err)
		}
		all["openai.ClientConfig"] = portkey.OpenAIConfig("", tr) // go-openai does not redact its own token
		all["wrapped openai.ClientConfig"] = wrapped
		all["openai.Client"] = openai.NewClientWithConfig(wrapped)
	}
	return all
}

func secretContexts(t *testing.T) map[string]any {
	t.Helper()
	h := validSecretHeaders()
	all := map[string]any{"HeadersFromContext": portkey.HeadersFromContext(portkey.WithHeaders(t.Context(), h))}
	h.Metadata, h.TraceID = portkey.Metadata{"a": secret}, secret
	info := portkey.ResponseInfo{TraceID: secret}
	type key struct{}
	for name, ctx := range map[string]context.Context{
		"WithTrace":                    portkey.WithTrace(t.Context(), secret),
		"WithMetadata":                 portkey.WithMetadata(t.Context(), h.Metadata),
		"WithHeaders":                  portkey.WithHeaders(t.Context(), h),
		"WithHeaders, invalid headers": portkey.WithHeaders(t.Context(), secretHeaders()),
		"WithResponseInfo":             portkey.WithResponseInfo(t.Context(), &info),
	} {
		canceled, cancel := context.WithTimeout(ctx, time.Hour)
		cancel()
		all[name] = ctx
		addUnexported(all, name, ctx)
		all[name+", then WithValue"] = context.WithValue(ctx, key{}, "v")
		all[name+", then WithTimeout"] = canceled
		all[name+", request"] = newRequest(t, ctx, "GET", openAIChat, "")
	}
	return all
}

// secretErrors returns errors about values that contain a secret.
func secretErrors(t *testing.T) map[string]error {
	t.Helper()
	all := map[string]error{"Validate": secretConfig().Validate()}
	newTransportError := func(opts portkey.Options) error {
		_, err := portkey.NewTransport(nil, opts)
		return err
	}
	for _, tt := range invalidHeaders[:12] {
		all[tt.name] = newTransportError(portkey.Options{BaseURL: "http://gw.example", Headers: tt.headers})
	}
	upstreams := func(u portkey.Upstream) portkey.Options {
		return portkey.Options{Headers: validSecretHeaders(), Upstreams: []portkey.Upstream{u}}
	}
	all["BaseURL with a password"] = newTransportError(portkey.Options{BaseURL: "http://u:" + secret + "@gw"})
	all["BaseURL that is not a URL"] = newTransportError(portkey.Options{BaseURL: secret})
	all["Upstream with a password"] = newTransportError(upstreams(
		portkey.Upstream{BaseURL: "https://u:" + secret + "@up"},
	))
	all["Upstream with an invalid provider"] = newTransportError(upstreams(
		portkey.Upstream{BaseURL: "http://a", Provider: secret + "\n"},
	))

	base := &recorder{respond: func(*http.Request) (*http.Response, error) { return nil, io.EOF }}
	c := &http.Client{Transport: newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"})}
	for name, ctx := range map[string]context.Context{
		"WithTrace":    portkey.WithTrace(t.Context(), secret+"\n"),
		"WithMetadata": portkey.WithMetadata(t.Context(), portkey.Metadata{"a": secret + "\xff"}),
		"WithHeaders":  portkey.WithHeaders(t.Context(), portkey.Headers{APIKey: secret + "\n"}),
	} {
		_, all[name] = c.Do(newRequest(t, ctx, "POST", openAIChat, `{"prompt":"`+secret+`"}`))
	}
	req := newRequest(t, t.Context(), "GET", "http://elsewhere.example/v1", "")
	ownHeaders(req.Header)
	_, all["unknown host"] = c.Do(req)
	req = newRequest(t, t.Context(), "GET", "http://u:"+secret+"@elsewhere.example/v1?k="+secret, "")
	_, all["unknown host, secrets in the URL"] = c.Transport.RoundTrip(req)
	return all
}

// checkRedacted checks that none of the outputs contains the secret in any encoding of fmt.
func checkRedacted(t *testing.T, how string, outputs ...string) {
	t.Helper()
	for _, output := range outputs {
		for _, leak := range []string{
			secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint([]byte(secret)),
		} {
			if strings.Contains(output, leak) {
				t.Errorf("%s shows the secret: %s", how, output)
				return
			}
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	values, configs := secretValues(t), secretConfigs()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.Run(name, func(t *testing.T) {
			v := values[name]
			checkPrintsRedacted(t, v)
			checkRedacted(t, "slog's JSON handler", logged(v, func(w io.Writer) slog.Handler {
				return slog.NewJSONHandler(w, nil)
			}))
			text, err := json.Marshal(v)
			checkRedacted(t, "encoding/json", string(text), fmt.Sprint(err))
			text, err = xml.Marshal(v)
			checkRedacted(t, "encoding/xml", string(text), fmt.Sprint(err))
		})
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		t.Run(name, func(t *testing.T) {
			checkPrintsRedacted(t, configs[name])
			text, err := xml.Marshal(configs[name])
			checkRedacted(t, "encoding/xml", string(text), fmt.Sprint(err))
		})
	}
	// A config is logged by its LogValue; slog's JSON handler encodes only the values around a config.
	for _, name := range []string{"ConfigJSON", "ConfigSlug", "ConfigObject", "*ConfigObject"} {
		t.Run(name+" as JSON", func(t *testing.T) {
			checkRedacted(t, "slog's JSON handler", logged(configs[name], func(w io.Writer) slog.Handler {
				return slog.NewJSONHandler(w, nil)
			}))
		})
	}
}

// checkPrintsRedacted checks v's output by fmt, by slog's text handler and in the message of a recovered panic.
func checkPrintsRedacted(t *testing.T, v any) {
	t.Helper()
	verbs := []string{
		"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%e", "%c", "%U", "%T", "%z", "% x", "%10.3v",
		"%[2]v %[1]d",
	}
	// fmt formats %p and a misplaced %w without calling Format: it prints the fields of a value,
	// but not what they point to.
	if reflect.ValueOf(v).Kind() == reflect.Pointer {
		verbs = append(verbs, "%p")
	}
	switch v.(type) {
	case context.Context, http.RoundTripper, *http.Client, error:
		verbs = append(verbs, "%w")
	}
	for _, verb := range verbs {
		checkRedacted(t, verb, fmt.Sprintf(verb, v))
	}
	checkRedacted(t, "Print", fmt.Sprint(v), fmt.Sprintln(v))
	checkRedacted(t, "panic", panicMessage(v))
	checkRedacted(t, "slog's text handler", logged(v, func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, nil)
	}))
	if v, ok := v.(encoding.TextMarshaler); ok {
		text, err := v.MarshalText()
		checkRedacted(t, "MarshalText", string(text), fmt.Sprint(err))
	}
	if v, ok := v.(slog.LogValuer); ok {
		checkRedacted(t, "LogValue", v.LogValue().String(), fmt.Sprint(v.LogValue().Resolve().Any()))
	}
}

// fmt calls no methods of unexported fields. It prints a pointer there as an address, unless the verb is wrong for a
// pointer: with %s and %q it prints the fields.
func TestUnexportedPointersPrintAsAddresses(t *testing.T) {
	t.Parallel()
	h, object := secretHeaders(), secretConfig()
	opts := portkey.Options{Headers: h}
	for name, v := range map[string]any{
		"Headers":      struct{ h *portkey.Headers }{&h},
		"Options":      struct{ o *portkey.Options }{&opts},
		"AWS":          struct{ a *portkey.AWS }{&h.AWS},
		"ConfigObject": struct{ c *portkey.ConfigObject }{&object},
		"Config":       struct{ c portkey.Config }{&object},
		"interface":    struct{ v any }{&h},
		"slice":        struct{ h []*portkey.Headers }{[]*portkey.Headers{&h}},
		"map":          struct{ h map[string]*portkey.Headers }{map[string]*portkey.Headers{"k": &h}},
		"embedded":     struct{ o struct{ *portkey.Options } }{struct{ *portkey.Options }{&opts}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "%d", "%o", "%b"} {
				checkRedacted(t, verb, fmt.Sprintf(verb, v))
			}
			checkRedacted(t, "panic", panicMessage(v))
			for _, handler := range []func(io.Writer) slog.Handler{
				func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
				func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
			} {
				checkRedacted(t, "slog", logged(v, handler))
			}
			text, err := json.Marshal(v)
			checkRedacted(t, "encoding/json", string(text), fmt.Sprint(err))
		})
	}
}

// logged returns the log of v by slog, alone and in a group.
func logged(v any, newHandler func(io.Writer) slog.Handler) string {
	var log bytes.Buffer
	slog.New(newHandler(&log)).Info("m", "v", v, slog.Group("g", "v", v))
	return log.String()
}

// panicMessage returns the log of net/http's server for a handler that panics with v.
func panicMessage(v any) (log string) {
	defer func() { log = fmt.Sprintf("http: panic serving: %v", recover()) }()
	panic(v)
}

// The runtime prints an unrecovered panic itself, not through fmt. A child process panics with every value.
func TestPanicShowsNoSecret(t *testing.T) {
	const child = "PORTKEY_TEST_PANIC"
	all := secretValues(t)
	maps.Copy(all, secretConfigs())
	if os.Getenv(child) != "" {
		go panicWith(slices.Collect(maps.Values(all))) // package testing recovers a panic of this goroutine
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPanicShowsNoSecret$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if n := strings.Count(string(out), "panic: "); err == nil || n < len(all) {
		t.Fatalf("got %v and %d panics, want %d: %s", err, n, len(all), out)
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		checkRedacted(t, "panic", line)
	}
}

// panicWith panics with each value while the panic of the one before is running: the runtime prints them all.
func panicWith(values []any) {
	if len(values) > 0 {
		defer panicWith(values[1:])
		panic(values[0])
	}
}

func TestPrintedHeadersAreReadable(t *testing.T) {
	t.Parallel()
	h := portkey.Headers{
		APIKey: secret, Provider: "openai", Config: portkey.ConfigSlug("pc-1"),
		Metadata: portkey.Metadata{"b": "2", "a": "1"}, Debug: portkey.Ptr(false),
		AWS: portkey.AWS{Region: "eu-1", SessionToken: secret}, Extra: map[string]string{"X-Tenant": "t"},
	}
	t.Run("fmt", func(t *testing.T) {
		const want = `portkey.Headers{x-portkey-api-key: "[redacted]", x-portkey-provider: "openai", ` +
			`x-portkey-config: "pc-1", x-portkey-metadata: "{\"a\":\"1\",\"b\":\"2\"}", x-portkey-debug: "false", ` +
			`x-portkey-aws-region: "eu-1", x-portkey-aws-session-token: "[redacted]", x-tenant: "[redacted]"}`
		if got := fmt.Sprint(h); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		const want = `{"x-portkey-aws-region":"eu-1","x-portkey-aws-session-token":"[redacted]"}`
		if got, err := json.Marshal(h.AWS); string(got) != want || err != nil {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	})
	t.Run("Transport", func(t *testing.T) {
		const want = "portkey.Transport{gateway: http://gw.example/v1, headers: [x-portkey-api-key "
		tr := newTransport(t, nil, portkey.Options{BaseURL: "http://gw.example/v1", Headers: h})
		if got := fmt.Sprint(tr); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want the prefix %s", got, want)
		}
	})
	t.Run("zero Transport", func(t *testing.T) {
		got := fmt.Sprint(portkey.Transport{})
		if !strings.HasPrefix(got, "portkey.Transport{") || strings.Contains(got, "PANIC") {
			t.Errorf("got %s, want portkey.Transport{...}", got)
		}
	})
}

func TestOptionsAndTransportAreEncodedAsText(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{BaseURL: "http://gw.example/v1", Headers: portkey.Headers{APIKey: secret}}
	tr, err := portkey.NewTransport(nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{opts, &opts, tr} {
		t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
			want := fmt.Sprint(v)
			got, err := v.(encoding.TextMarshaler).MarshalText()
			if string(got) != want || err != nil {
				t.Errorf("text: got %s, %v, want %s", got, err, want)
			}
			var decoded string
			if text, err := json.Marshal(v); err != nil || json.Unmarshal(text, &decoded) != nil || decoded != want {
				t.Errorf("JSON: got %s, %v, want %q", text, err, want)
			}
		})
	}
}

func TestLoggedHeadersAreReadable(t *testing.T) {
	t.Parallel()
	h := portkey.Headers{
		APIKey: secret, Provider: "openai", AWS: portkey.AWS{Region: "eu-1", SessionToken: secret},
	}
	opts := portkey.Options{BaseURL: "http://gw.example", Headers: h}
	var textLog, jsonLog bytes.Buffer
	for _, tt := range []struct {
		name    string
		handler slog.Handler
		log     *bytes.Buffer
		want    []string
	}{
		{
			"text", slog.NewTextHandler(&textLog, nil), &textLog,
			[]string{
				`h.x-portkey-api-key=[redacted] h.x-portkey-provider=openai `,
				` aws.x-portkey-aws-region=eu-1 aws.x-portkey-aws-session-token=[redacted] `,
			},
		},
		{
			"JSON", slog.NewJSONHandler(&jsonLog, nil), &jsonLog,
			[]string{
				`"h":{"x-portkey-api-key":"[redacted]","x-portkey-provider":"openai",`,
				`"opts":"portkey.Options{BaseURL: `,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			slog.New(tt.handler).Info("m", "h", h, "aws", h.AWS, "opts", opts)
			for _, want := range tt.want {
				if got := tt.log.String(); !strings.Contains(got, want) {
					t.Errorf("got %s, want it to contain %s", got, want)
				}
			}
		})
	}
}

func TestPrintedOptionsAreReadable(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{NewTraceID: noTrace, ProviderSlugs: map[string]string{"openai": "@prod"}, Upstreams: []portkey.Upstream{
		{BaseURL: "https://a.example", Provider: "a\nb"}, {BaseURL: "a.example"}, {BaseURL: "https://c.example"},
	}}
	const want = `portkey.Options{BaseURL: "", Headers: portkey.Headers{}, ` +
		`Upstreams: ["a\nb" at "https://a.example", "" at [invalid], "" at "https://c.example"], ` +
		`ProviderSlugs: map[openai:@prod], APIKeySource: false, Filter: false, NewTraceID: true}`
	if got := fmt.Sprint(opts); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPasswordAndQueryOfAURLAreRedacted(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://user:" + secret + "@llm.example", "https://llm.example/v1?sig=" + secret, "https://%zz" + secret + "://"} {
		got := fmt.Sprint(portkey.Headers{HuggingFace: portkey.HuggingFace{BaseURL: url}, Azure: portkey.Azure{FoundryURL: url}})
		if strings.Contains(got, secret) || strings.Count(got, "[redacted]") != 2 {
			t.Errorf("got %s, want both values redacted", got)
		}
	}
}

// A value that cannot be sent may be a secret in the wrong field.
func TestPrintedHeadersHideInvalidValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		headers portkey.Headers
	}{
		{"metadata", portkey.Headers{Metadata: portkey.Metadata{"k": secret + "\xff"}}},
		{"span ID", portkey.Headers{SpanID: secret + "\n"}},
		{"custom host", portkey.Headers{CustomHost: "ftp://" + secret}},
		{"config slug", portkey.Headers{Config: portkey.ConfigSlug(`{"api_key":"` + secret + `"}`)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := fmt.Sprint(tt.headers)
			if strings.Contains(got, secret) || !strings.Contains(got, "[invalid]") && !strings.Contains(got, "[redacted]") {
				t.Errorf("got %s, want [invalid] or [redacted]", got)
			}
		})
	}
}

func TestPrintedHeadersAreSorted(t *testing.T) {
	t.Parallel()
	h := portkey.Headers{Extra: map[string]string{"x-d": "1", "x-b": "1", "x-a": "1", "x-c": "1"}}
	const (
		wantHeaders   = `portkey.Headers{x-a: "[redacted]", x-b: "[redacted]", x-c: "[redacted]", x-d: "[redacted]"}`
		wantTransport = "portkey.Transport{gateway: http://gw.example/v1, headers: [x-a x-b x-c x-d]}"
	)
	for range 20 { // map iteration order is random
		if got := fmt.Sprint(h); got != wantHeaders {
			t.Fatalf("got %s, want %s", got, wantHeaders)
		}
		tr := newTransport(t, nil, portkey.Options{BaseURL: "http://gw.example", Headers: h})
		if got := fmt.Sprint(tr); got != wantTransport {
			t.Fatalf("got %s, want %s", got, wantTransport)
		}
	}
}

func TestConfigJSONIsEncodedAsItself(t *testing.T) {
	t.Parallel()
	const want = `{"a":1}`
	if got, err := json.Marshal(portkey.ConfigJSON(`{ "a": 1 }`)); string(got) != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestConfigJSONThatIsNotJSONIsNotEncoded(t *testing.T) {
	t.Parallel()
	for name, marshal := range map[string]func() ([]byte, error){
		"json.Marshal": func() ([]byte, error) { return json.Marshal(portkey.ConfigJSON(secret)) },
		"MarshalJSON":  portkey.ConfigJSON(secret).MarshalJSON,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := marshal(); err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("got %s, %v, want an error without the value", got, err)
			}
		})
	}
}

func TestConfigSlugThatIsJSONIsNotEncoded(t *testing.T) {
	t.Parallel()
	slug := portkey.ConfigSlug(`{"api_key":"` + secret + `"}`)
	text, err := json.Marshal(struct{ C portkey.Config }{slug})
	checkRedacted(t, "encoding/json", string(text), fmt.Sprint(err))
}

// The list is fixed, because SecretHeaders is made from the tags: a field that loses ",secret" must fail a test.
func TestSecretHeadersAreComplete(t *testing.T) {
	t.Parallel()
	want := []string{
		"Api-Key",
		"Authorization",
		"X-Api-Key",
		"X-Goog-Api-Key",
		"X-Portkey-Api-Key",
		"X-Portkey-Aws-Access-Key-Id",
		"X-Portkey-Aws-External-Id",
		"X-Portkey-Aws-Secret-Access-Key",
		"X-Portkey-Aws-Session-Token",
		"X-Portkey-Azure-Ad-Token",
		"X-Portkey-Azure-Entra-Client-Secret",
		"X-Portkey-Config",
		"X-Portkey-Oracle-Fingerprint",
		"X-Portkey-Oracle-Key-Passphrase",
		"X-Portkey-Oracle-Private-Key",
		"X-Portkey-Vertex-Service-Account-Json",
		"X-Portkey-Virtual-Key",
	}
	if got := portkey.SecretHeaders(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSecretHeadersReturnsACopy(t *testing.T) {
	t.Parallel()
	portkey.SecretHeaders()[0] = "changed"
	if got := portkey.SecretHeaders(); slices.Contains(got, "changed") {
		t.Errorf("got %q after changing an earlier result", got)
	}
}
