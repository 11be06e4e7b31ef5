package portkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

func TestInnerContextOverridesOuter(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{
		TraceID: "outer", Provider: "outer", SpanID: "outer", Metadata: portkey.Metadata{"a": "outer", "b": "outer"},
		Debug: portkey.Ptr(true), Extra: map[string]string{"x-one": "outer", "x-two": "outer"},
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = portkey.WithTrace(portkey.WithMetadata(ctx, portkey.Metadata{"b": "inner"}), "inner")
	ctx = portkey.WithHeaders(ctx, portkey.Headers{
		SpanID: "inner", Debug: portkey.Ptr(false), Extra: map[string]string{"X-TWO": "inner"},
	})
	// Empty values override nothing.
	ctx = portkey.WithTrace(portkey.WithMetadata(portkey.WithHeaders(ctx, portkey.Headers{}), nil), "")
	want := portkey.Headers{
		TraceID: "inner", Provider: "outer", SpanID: "inner", Metadata: portkey.Metadata{"a": "outer", "b": "inner"},
		Debug: portkey.Ptr(false), Extra: map[string]string{"X-One": "outer", "X-Two": "inner"},
	}
	if got := portkey.HeadersFromContext(ctx); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	s := newServer(t, nil)
	do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
	wantSent := http.Header{
		"X-Portkey-Trace-Id": {"inner"}, "X-Portkey-Provider": {"outer"}, "X-Portkey-Span-Id": {"inner"},
		"X-Portkey-Metadata": {`{"a":"outer","b":"inner"}`}, "X-Portkey-Debug": {"false"},
	}
	if got := s.last(t).portkeyHeaders(); !reflect.DeepEqual(got, wantSent) {
		t.Errorf("got %v, want %v", got, wantSent)
	}
}

func TestWithHeadersOverridesAnOuterTrace(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(portkey.WithTrace(t.Context(), "outer"), portkey.Headers{TraceID: "inner"})
	if got := portkey.HeadersFromContext(ctx).TraceID; got != "inner" {
		t.Errorf("got %q, want inner", got)
	}
}

func TestHeadersFromContextReturnsTheHeadersOfWithHeaders(t *testing.T) {
	t.Parallel()
	for _, tt := range fieldTests {
		t.Run(tt.header, func(t *testing.T) {
			for _, want := range []portkey.Headers{tt.a, tt.b} {
				got := portkey.HeadersFromContext(portkey.WithHeaders(t.Context(), want))
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			}
		})
	}
	t.Run("empty context", func(t *testing.T) {
		if got, want := portkey.HeadersFromContext(t.Context()), (portkey.Headers{}); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestHeadersFromContextReturnsACopy(t *testing.T) {
	t.Parallel()
	newHeaders := func() portkey.Headers {
		return portkey.Headers{
			Metadata: portkey.Metadata{"a": "1"}, ForwardHeaders: []string{"X-A"}, Debug: portkey.Ptr(true),
			Extra: map[string]string{"X-E": "1"},
		}
	}
	ctx := portkey.WithHeaders(t.Context(), newHeaders())
	h := portkey.HeadersFromContext(ctx)
	h.Metadata["a"], h.ForwardHeaders[0], *h.Debug, h.Extra["X-E"] = "2", "X-B", false, "2"
	if got, want := portkey.HeadersFromContext(ctx), newHeaders(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v with Extra %v after changing an earlier result, want %v", got, got.Extra, want)
	}
}

// A header in both a field and Extra would be rejected by NewTransport.
func TestHeadersFromContextReturnsEachHeaderOnce(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{
		Provider: "outer", Metadata: portkey.Metadata{"a": "1"},
		Extra: map[string]string{"X-Portkey-Trace-Id": "outer", "x-portkey-debug": "true"},
	})
	ctx = portkey.WithHeaders(ctx, portkey.Headers{
		Debug: portkey.Ptr(false),
		Extra: map[string]string{"x-portkey-provider": "inner", "x-portkey-metadata": `{"b":"2"}`},
	})
	want := portkey.Headers{
		TraceID: "outer", Debug: portkey.Ptr(false), Metadata: portkey.Metadata{"a": "1", "b": "2"},
		Extra: map[string]string{"X-Portkey-Provider": "inner"},
	}
	got := portkey.HeadersFromContext(ctx)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v with Extra %v, want %v", got, got.Extra, want)
	}
	newTransport(t, nil, portkey.Options{BaseURL: "http://gw.example", Headers: got})
}

func TestSiblingContextsAreIndependent(t *testing.T) {
	t.Parallel()
	parent := portkey.WithHeaders(t.Context(), portkey.Headers{
		Provider: "openai", Metadata: portkey.Metadata{"p": "1"},
	})
	a := portkey.WithHeaders(parent, portkey.Headers{SpanID: "a", Metadata: portkey.Metadata{"a": "1"}})
	b := portkey.WithHeaders(parent, portkey.Headers{SpanName: "b", Metadata: portkey.Metadata{"b": "1"}})
	for _, tt := range []struct {
		name string
		ctx  context.Context
		want portkey.Headers
	}{
		{"a", a, portkey.Headers{Provider: "openai", SpanID: "a", Metadata: portkey.Metadata{"p": "1", "a": "1"}}},
		{"b", b, portkey.Headers{Provider: "openai", SpanName: "b", Metadata: portkey.Metadata{"p": "1", "b": "1"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := portkey.HeadersFromContext(tt.ctx); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWithNewTraceGivesAllCallsOneTraceID(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{})
	ctx, id := portkey.WithNewTrace(t.Context())
	if len(id) != len("00000000-0000-0000-0000-000000000000") {
		t.Errorf("got %q, want a UUID", id)
	}
	for range 2 {
		do(t, c, newRequest(t, ctx, "GET", openAIChat, ""))
		if got := s.last(t).header.Get("X-Portkey-Trace-Id"); got != id {
			t.Errorf("got %q, want %q", got, id)
		}
	}
	if _, other := portkey.WithNewTrace(t.Context()); other == id {
		t.Errorf("got %q twice, want two IDs", id)
	}
}

func TestNewTraceIDReceivesTheContextOfTheCall(t *testing.T) {
	t.Parallel()
	type key struct{}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{
		NewTraceID: func(ctx context.Context) string { return ctx.Value(key{}).(string) },
	})
	do(t, c, newRequest(t, context.WithValue(t.Context(), key{}, "from-context"), "GET", openAIChat, ""))
	if got := s.last(t).header.Get("X-Portkey-Trace-Id"); got != "from-context" {
		t.Errorf("got %q, want from-context", got)
	}
}

func TestContextInheritsValuesAndCancellation(t *testing.T) {
	t.Parallel()
	type key struct{}
	withValue := context.WithValue(t.Context(), key{}, "v")
	parent, cancel := context.WithDeadline(withValue, time.Now().Add(time.Hour))
	ctx := portkey.WithTrace(parent, "t1")
	if got := ctx.Value(key{}); got != "v" {
		t.Errorf("got value %v, want v", got)
	}
	if ctx.Done() != parent.Done() {
		t.Error("Done differs from the parent's")
	}
	cancel()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("got %v, want %v", ctx.Err(), context.Canceled)
	}
}

func TestPrintedContextShowsNoHeaders(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{
		APIKey: secret, TraceID: secret, Metadata: portkey.Metadata{"a": secret},
	})
	for name, v := range map[string]any{
		"context":         ctx,
		"derived context": context.WithValue(ctx, key{}, "v"),
		"request":         newRequest(t, ctx, "GET", openAIChat, ""),
		"struct":          struct{ ctx context.Context }{ctx},
	} {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%e", "%c", "%U", "%z"} {
				got := fmt.Sprintf(verb, v)
				if strings.Contains(got, secret) || strings.Contains(got, fmt.Sprintf("%x", secret)) {
					t.Errorf("%s prints the secret: %s", verb, got)
				}
			}
		})
	}
}

// A wrappedContext is a context of another package, which has no String method.
type wrappedContext struct{ context.Context }

func TestContextsPrintLikeThoseOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	type key struct{}
	background := context.Background()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		want string
	}{
		{"one", portkey.WithTrace(background, "x"), "context.Background.WithPortkey"},
		{
			"several", portkey.WithTrace(portkey.WithTrace(portkey.WithTrace(background, "x"), "y"), "z"),
			"context.Background.WithPortkey",
		},
		{
			"over a value", portkey.WithTrace(context.WithValue(background, key{}, "v"), "x"),
			"context.Background.WithValue(portkey_test.key, v).WithPortkey",
		},
		{
			"over another package's", portkey.WithTrace(wrappedContext{portkey.WithTrace(background, "x")}, "y"),
			"portkey_test.wrappedContext.WithPortkey",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(tt.ctx); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The limit catches quadratic time: linear time is a few milliseconds.
func TestPrintingADeepContextTakesLinearTime(t *testing.T) {
	for name, wrap := range map[string]func(context.Context) context.Context{
		"With functions": func(ctx context.Context) context.Context { return ctx },
		"With functions and another package's": func(ctx context.Context) context.Context {
			return wrappedContext{ctx}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			for range 100_000 {
				ctx = portkey.WithTrace(wrap(ctx), "x")
			}
			start := time.Now()
			got := fmt.Sprintf("%v", ctx)
			if took := time.Since(start); took > 2*time.Second || len(got) > 100 {
				t.Errorf("got %d bytes after %v", len(got), took)
			}
		})
	}
}

func TestInvalidMetadataInAContextFailsTheCall(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"129 characters": secret + strings.Repeat("x", 129-len(secret)),
		"not UTF-8":      secret + "\xff",
	} {
		t.Run(name, func(t *testing.T) {
			ctx := portkey.WithMetadata(t.Context(), portkey.Metadata{"k": value})
			checkInvalidRequest(t, newRequest(t, ctx, "POST", openAIChat, ""), "x-portkey-metadata")
		})
	}
}

func TestFirstInvalidValueInAContextIsReported(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithMetadata(portkey.WithTrace(t.Context(), "a\n"), portkey.Metadata{"k": "\xff"})
	checkInvalidRequest(t, newRequest(t, ctx, "POST", openAIChat, ""), "x-portkey-trace-id")
}

// respondWith returns a base that answers with the response header h.
func respondWith(h http.Header) *recorder {
	return &recorder{respond: func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: h, Body: http.NoBody, Request: r}, nil
	}}
}

func TestResponseInfo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		header http.Header
		want   portkey.ResponseInfo
	}{
		{
			"every header",
			http.Header{
				"X-Portkey-Trace-Id": {"t1"}, "X-Portkey-Provider": {"groq"},
				"X-Portkey-Last-Used-Option-Index": {"config.targets[1]"},
				"X-Portkey-Cache-Status":           {"SEMANTIC HIT"}, "X-Portkey-Retry-Attempt-Count": {"-1"},
			},
			portkey.ResponseInfo{
				TraceID: "t1", Provider: "groq", LastUsedOption: "config.targets[1]",
				CacheStatus: portkey.CacheSemanticHit, RetryAttempts: -1,
			},
		},
		{
			"gateway exception", http.Header{"X-Portkey-Gateway-Exception": {"true"}},
			portkey.ResponseInfo{GatewayException: true},
		},
		{
			"no gateway exception", http.Header{"X-Portkey-Gateway-Exception": {"false"}},
			portkey.ResponseInfo{},
		},
		{
			"retry count is not a number", http.Header{"X-Portkey-Retry-Attempt-Count": {"many"}},
			portkey.ResponseInfo{},
		},
		{"no header", nil, portkey.ResponseInfo{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := portkey.ParseResponse(tt.header); got != tt.want {
				t.Errorf("ParseResponse: got %+v, want %+v", got, tt.want)
			}
			got := portkey.ResponseInfo{TraceID: "stale"}
			ctx := portkey.WithTrace(portkey.WithResponseInfo(t.Context(), &got), "t1")
			tr := newTransport(t, respondWith(tt.header), portkey.Options{BaseURL: "http://gw.example"})
			if _, err := tr.RoundTrip(newRequest(t, ctx, "GET", openAIChat, "")); err != nil {
				t.Fatal(err)
			}
			tt.want.StatusCode = http.StatusOK
			if got != tt.want {
				t.Errorf("WithResponseInfo: got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestResponseInfoIsZeroWithoutAResponse(t *testing.T) {
	t.Parallel()
	base := &recorder{respond: func(*http.Request) (*http.Response, error) { return nil, io.EOF }}
	got := portkey.ResponseInfo{TraceID: "stale"}
	ctx := portkey.WithResponseInfo(t.Context(), &got)
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"})
	if _, err := tr.RoundTrip(newRequest(t, ctx, "GET", openAIChat, "")); err != io.EOF {
		t.Errorf("got error %v, want %v", err, io.EOF)
	}
	if want := (portkey.ResponseInfo{}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOnlyTheInnerResponseInfoIsSet(t *testing.T) {
	t.Parallel()
	base := respondWith(http.Header{"X-Portkey-Trace-Id": {"t1"}})
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"})
	for name, inner := range map[string]*portkey.ResponseInfo{"inner": new(portkey.ResponseInfo), "nil inner": nil} {
		t.Run(name, func(t *testing.T) {
			var outer portkey.ResponseInfo
			ctx := portkey.WithResponseInfo(portkey.WithResponseInfo(t.Context(), &outer), inner)
			if _, err := tr.RoundTrip(newRequest(t, ctx, "GET", openAIChat, "")); err != nil {
				t.Fatal(err)
			}
			if outer != (portkey.ResponseInfo{}) {
				t.Errorf("outer: got %+v, want zero", outer)
			}
			if inner != nil && inner.TraceID != "t1" {
				t.Errorf("inner: got %+v, want trace ID t1", inner)
			}
		})
	}
}

func TestCacheStatusesAreThoseOfTheGateway(t *testing.T) {
	t.Parallel()
	for got, want := range map[portkey.CacheStatus]string{
		portkey.CacheHit: "HIT", portkey.CacheSemanticHit: "SEMANTIC HIT", portkey.CacheMiss: "MISS",
		portkey.CacheSemanticMiss: "SEMANTIC MISS", portkey.CacheDisabled: "DISABLED", portkey.CacheRefresh: "REFRESH",
	} {
		t.Run(want, func(t *testing.T) {
			if string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestHookResultsAreDecoded(t *testing.T) {
	t.Parallel()
	const body = `{
		"before_request_hooks": [{
			"id": "pii", "type": "guardrail", "verdict": false, "deny": true, "async": false, "transformed": true,
			"checks": [
				{"id": "default.pii", "verdict": false, "transformed": true, "fail_on_error": true, "data": {"found": 2}, "error": {"name": "E"},
					"log": "two names", "execution_time": 1.5, "created_at": "2026-01-02T03:04:05.678Z"},
				{"id": "default.regex", "verdict": true, "transformed": false, "error": "timeout", "log": null, "execution_time": 0, "created_at": ""}
			],
			"feedback": {"value": -5, "weight": 0.5, "metadata": {"successfulChecks": "default.regex", "failedChecks": "default.pii", "erroredChecks": ""}},
			"execution_time": 12, "created_at": "2026-01-02T03:04:05.678Z"
		}],
		"after_request_hooks": [{"id": "length", "type": "guardrail", "verdict": true, "deny": false, "async": true, "transformed": false,
			"checks": [], "feedback": null, "execution_time": 0, "created_at": ""}]
	}`
	want := portkey.HookResults{
		BeforeRequestHooks: []portkey.HookResult{{
			ID: "pii", Type: "guardrail", Deny: true, Transformed: true,
			Checks: []portkey.HookCheck{
				{ID: "default.pii", Transformed: true, FailOnError: true, Data: json.RawMessage(`{"found": 2}`), Error: json.RawMessage(`{"name": "E"}`),
					Log: "two names", ExecutionTime: 1.5, CreatedAt: "2026-01-02T03:04:05.678Z"},
				{ID: "default.regex", Verdict: true, Error: json.RawMessage(`"timeout"`)},
			},
			Feedback: &portkey.HookFeedback{Value: -5, Weight: 0.5, Metadata: portkey.HookFeedbackMetadata{
				SuccessfulChecks: "default.regex", FailedChecks: "default.pii",
			}},
			ExecutionTime: 12, CreatedAt: "2026-01-02T03:04:05.678Z",
		}},
		AfterRequestHooks: []portkey.HookResult{{ID: "length", Type: "guardrail", Verdict: true, Async: true, Checks: []portkey.HookCheck{}}},
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	var got portkey.HookResults
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
