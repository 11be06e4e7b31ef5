package portkey_test

import (
	"context"
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

func TestInnerContextWins(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{
		TraceID: "outer", Provider: "outer", SpanID: "outer", Metadata: portkey.Metadata{"a": "outer", "b": "outer"},
		Debug: portkey.Bool(true), Extra: map[string]string{"x-one": "outer", "x-two": "outer"},
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = portkey.WithTrace(portkey.WithMetadata(ctx, portkey.Metadata{"b": "inner"}), "inner")
	ctx = portkey.WithHeaders(ctx, portkey.Headers{SpanID: "inner", Debug: portkey.Bool(false), Extra: map[string]string{"X-TWO": "inner"}})
	ctx = portkey.WithTrace(portkey.WithMetadata(portkey.WithHeaders(ctx, portkey.Headers{}), nil), "")
	want := portkey.Headers{
		TraceID: "inner", Provider: "outer", SpanID: "inner", Metadata: portkey.Metadata{"a": "outer", "b": "inner"},
		Debug: portkey.Bool(false), Extra: map[string]string{"X-One": "outer", "X-Two": "inner"},
	}
	if got := portkey.HeadersFromContext(ctx); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	s := newServer(t, nil)
	do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
	wantWire := http.Header{
		"X-Portkey-Trace-Id": {"inner"}, "X-Portkey-Provider": {"outer"}, "X-Portkey-Span-Id": {"inner"},
		"X-Portkey-Metadata": {`{"a":"outer","b":"inner"}`}, "X-Portkey-Debug": {"false"},
	}
	if got := s.last(t).portkeyHeaders(); !reflect.DeepEqual(got, wantWire) {
		t.Errorf("got %v, want %v", got, wantWire)
	}
}

func TestHeadersFromContextReturnsWhatWithHeadersTook(t *testing.T) {
	t.Parallel()
	for _, tt := range fieldTests {
		for _, h := range []portkey.Headers{tt.a, tt.b} {
			if got := portkey.HeadersFromContext(portkey.WithHeaders(t.Context(), h)); !reflect.DeepEqual(got, h) {
				t.Errorf("%s: got %v, want %v", tt.header, got, h)
			}
		}
	}
	if got := portkey.HeadersFromContext(t.Context()); !reflect.DeepEqual(got, portkey.Headers{}) {
		t.Errorf("got %v from an empty context, want nothing", got)
	}
}

func TestHeadersFromContextSharesNothing(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{
		Metadata: portkey.Metadata{"a": "1"}, ForwardHeaders: []string{"X-A"}, Debug: portkey.Bool(true), Extra: map[string]string{"X-E": "1"},
	})
	h := portkey.HeadersFromContext(ctx)
	h.Metadata["a"], h.ForwardHeaders[0], *h.Debug, h.Extra["X-E"] = "2", "X-B", false, "2"
	again := portkey.HeadersFromContext(ctx)
	if again.Metadata["a"] != "1" || again.ForwardHeaders[0] != "X-A" || !*again.Debug || again.Extra["X-E"] != "1" {
		t.Errorf("got %v after a change of what was returned before", again)
	}
}

// What HeadersFromContext returns can go into Options.
func TestHeaderIsInItsFieldOrInExtra(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{
		Provider: "outer", Metadata: portkey.Metadata{"a": "1"}, Extra: map[string]string{"X-Portkey-Trace-Id": "outer", "x-portkey-debug": "true"},
	})
	ctx = portkey.WithHeaders(ctx, portkey.Headers{Debug: portkey.Bool(false), Extra: map[string]string{"x-portkey-provider": "inner", "x-portkey-metadata": `{"b":"2"}`}})
	want := portkey.Headers{
		TraceID: "outer", Debug: portkey.Bool(false), Metadata: portkey.Metadata{"a": "1", "b": "2"},
		Extra: map[string]string{"X-Portkey-Provider": "inner"},
	}
	got := portkey.HeadersFromContext(ctx)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v with Extra %v, want %v", got, got.Extra, want)
	}
	newTransport(t, nil, portkey.Options{BaseURL: "http://gw.example", Headers: got})
}

func TestSiblingContextsKeepApart(t *testing.T) {
	t.Parallel()
	parent := portkey.WithHeaders(t.Context(), portkey.Headers{Provider: "openai", Metadata: portkey.Metadata{"p": "1"}})
	a := portkey.WithHeaders(parent, portkey.Headers{SpanID: "a", Metadata: portkey.Metadata{"a": "1"}})
	b := portkey.WithHeaders(parent, portkey.Headers{SpanName: "b", Metadata: portkey.Metadata{"b": "1"}})
	if got := portkey.HeadersFromContext(a); got.SpanName != "" || got.Metadata["b"] != "" || got.Provider != "openai" {
		t.Errorf("got %v in a", got)
	}
	if got := portkey.HeadersFromContext(b); got.SpanID != "" || got.Metadata["a"] != "" || got.Metadata["p"] != "1" {
		t.Errorf("got %v in b", got)
	}
}

func TestWithNewTraceIsOneTraceOverAllCalls(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{})
	ctx, id := portkey.WithNewTrace(t.Context())
	for range 2 {
		do(t, c, newRequest(t, ctx, "GET", openAIChat, ""))
		if got := s.last(t).header.Get("X-Portkey-Trace-Id"); got != id || len(id) != 36 {
			t.Errorf("got %q, want %q", got, id)
		}
	}
	if _, other := portkey.WithNewTrace(t.Context()); other == id {
		t.Error("got the same ID twice")
	}
}

func TestNewTraceIDIsGivenTheCallsContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: func(ctx context.Context) string { return ctx.Value(key{}).(string) }})
	do(t, c, newRequest(t, context.WithValue(t.Context(), key{}, "of-the-call"), "GET", openAIChat, ""))
	if got := s.last(t).header.Get("X-Portkey-Trace-Id"); got != "of-the-call" {
		t.Errorf("got %q, want of-the-call", got)
	}
}

func TestContextKeepsWhatItIsMadeOf(t *testing.T) {
	t.Parallel()
	type key struct{}
	parent, cancel := context.WithDeadline(context.WithValue(t.Context(), key{}, "v"), time.Now().Add(time.Hour))
	ctx := portkey.WithTrace(parent, "t1")
	if ctx.Value(key{}) != "v" || ctx.Done() != parent.Done() {
		t.Error("the parent's value or Done is lost")
	}
	cancel()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("got %v, want Canceled", ctx.Err())
	}
}

func TestPrintedContextShowsNothing(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{APIKey: secret, TraceID: secret, Metadata: portkey.Metadata{"a": secret}})
	type key struct{}
	derived := context.WithValue(ctx, key{}, "v")
	req := newRequest(t, ctx, "GET", openAIChat, "")
	for _, c := range []any{ctx, derived, req, struct{ ctx context.Context }{ctx}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%e", "%c", "%U", "%z"} {
			if got := fmt.Sprintf(verb, c); strings.Contains(got, secret) || strings.Contains(got, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s: %s", verb, got)
			}
		}
	}
	if got := fmt.Sprint(portkey.WithTrace(context.Background(), "x")); got != "context.Background.WithPortkey" {
		t.Errorf("got %q, want context.Background.WithPortkey", got)
	}
}

func TestResponseInfo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		h    http.Header
		want portkey.ResponseInfo
	}{
		{http.Header{
			"X-Portkey-Trace-Id": {"t1"}, "X-Portkey-Provider": {"groq"}, "X-Portkey-Last-Used-Option-Index": {"config.targets[1]"},
			"X-Portkey-Cache-Status": {"SEMANTIC HIT"}, "X-Portkey-Retry-Attempt-Count": {"-1"},
		}, portkey.ResponseInfo{TraceID: "t1", Provider: "groq", LastUsedOption: "config.targets[1]", CacheStatus: portkey.CacheSemanticHit, RetryAttempts: -1}},
		{http.Header{"X-Portkey-Gateway-Exception": {"true"}}, portkey.ResponseInfo{GatewayException: true}},
		{http.Header{"X-Portkey-Retry-Attempt-Count": {"many"}}, portkey.ResponseInfo{}},
		{nil, portkey.ResponseInfo{}},
	}
	for _, tt := range tests {
		if got := portkey.ParseResponse(tt.h); got != tt.want {
			t.Errorf("%v: got %+v, want %+v", tt.h, got, tt.want)
		}
		base := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: tt.h, Body: http.NoBody, Request: r}, nil
		})
		info := portkey.ResponseInfo{TraceID: "stale"}
		ctx := portkey.WithTrace(portkey.WithResponseInfo(t.Context(), &info), "t1")
		newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"}).RoundTrip(newRequest(t, ctx, "GET", openAIChat, ""))
		if info != tt.want {
			t.Errorf("%v: WithResponseInfo got %+v, want %+v", tt.h, info, tt.want)
		}
	}
}

func TestResponseInfoIsZeroAfterAnErrorOfTheBase(t *testing.T) {
	t.Parallel()
	base := roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, io.EOF })
	info := portkey.ResponseInfo{TraceID: "stale"}
	ctx := portkey.WithResponseInfo(t.Context(), &info)
	newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"}).RoundTrip(newRequest(t, ctx, "GET", openAIChat, ""))
	if info != (portkey.ResponseInfo{}) {
		t.Errorf("got %+v, want zero", info)
	}
}

func TestWithHeadersGoesOverAnOuterTrace(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(portkey.WithTrace(t.Context(), "outer"), portkey.Headers{TraceID: "inner"})
	if got := portkey.HeadersFromContext(ctx).TraceID; got != "inner" {
		t.Errorf("got %q, want inner", got)
	}
}

func TestBadMetadataInAContextFailsTheCall(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
	for _, value := range []string{secret + strings.Repeat("x", 129-len(secret)), secret + "\xff"} {
		_, err := tr.RoundTrip(newRequest(t, portkey.WithMetadata(t.Context(), portkey.Metadata{"k": value}), "GET", openAIChat, ""))
		checkHeaderError(t, err, "x-portkey-metadata")
	}
}

func TestFirstBadValueOfAContextIsReported(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
	ctx := portkey.WithMetadata(portkey.WithTrace(t.Context(), "a\n"), portkey.Metadata{"k": "\xff"})
	_, err := tr.RoundTrip(newRequest(t, ctx, "GET", openAIChat, ""))
	checkHeaderError(t, err, "x-portkey-trace-id")
}

func TestInnerResponseInfoIsFilled(t *testing.T) {
	t.Parallel()
	base := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"X-Portkey-Trace-Id": {"t1"}}, Body: http.NoBody, Request: r}, nil
	})
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"})
	var outer, inner portkey.ResponseInfo
	ctx := portkey.WithResponseInfo(portkey.WithResponseInfo(t.Context(), &outer), &inner)
	tr.RoundTrip(newRequest(t, ctx, "GET", openAIChat, ""))
	if outer.TraceID != "" || inner.TraceID != "t1" {
		t.Errorf("got %+v and, inside, %+v, want the inner one filled", outer, inner)
	}
	tr.RoundTrip(newRequest(t, portkey.WithResponseInfo(portkey.WithResponseInfo(t.Context(), &outer), nil), "GET", openAIChat, ""))
	if outer.TraceID != "" {
		t.Errorf("got %+v, want nothing filled under an inner nil", outer)
	}
}

func TestGatewayExceptionIsTrueOnly(t *testing.T) {
	t.Parallel()
	if got := portkey.ParseResponse(http.Header{"X-Portkey-Gateway-Exception": {"false"}}); got.GatewayException {
		t.Errorf("got %+v, want no exception", got)
	}
}

func TestCacheStatusesAreTheGateways(t *testing.T) {
	t.Parallel()
	for got, want := range map[portkey.CacheStatus]string{
		portkey.CacheHit: "HIT", portkey.CacheSemanticHit: "SEMANTIC HIT", portkey.CacheMiss: "MISS",
		portkey.CacheSemanticMiss: "SEMANTIC MISS", portkey.CacheDisabled: "DISABLED", portkey.CacheRefresh: "REFRESH",
	} {
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
