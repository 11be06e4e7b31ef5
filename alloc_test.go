//go:build !race

package portkey_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
)

// allocationFreeBase answers every request with the same response, so that only
// the Transport's allocations are counted.
type allocationFreeBase struct {
	header http.Header // of the last request
	resp   http.Response
}

func (b *allocationFreeBase) RoundTrip(req *http.Request) (*http.Response, error) {
	b.header = req.Header
	return &b.resp, nil
}

const gatewayURL = "https://gateway.example.com/portkey/v1"

// manyHeaders returns options that add ten headers to each request.
func manyHeaders() portkey.Options {
	return portkey.Options{BaseURL: gatewayURL, Headers: portkey.Headers{
		APIKey: "pk-123", CustomHost: "https://llm.example.com/v1", CacheNamespace: "ns", SpanName: "span",
		StrictOpenAICompliance: portkey.Ptr(false), Debug: portkey.Ptr(false),
		ForwardHeaders: []string{"X-Tenant"}, Extra: map[string]string{"X-Tenant": "t1"},
		OpenAI: portkey.OpenAI{Organization: "org", Project: "proj"},
	}}
}

func neverRouted(*http.Request) bool { return false }

func withCallMetadata(ctx context.Context) context.Context {
	return portkey.WithMetadata(ctx, portkey.Metadata{"_user": "u-17", "request": "r-1"})
}

func withTraceAndMetadata(ctx context.Context) context.Context {
	return withCallMetadata(portkey.WithTrace(ctx, "0af7651916cd43dd8448eb211c80319c"))
}

// newChatRequest returns a chat completion with the headers that a client sends.
func newChatRequest(tb testing.TB, ctx context.Context, url string) *http.Request {
	tb.Helper()
	body := strings.NewReader(`{"model":"m","messages":[]}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header = http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer sk-1"},
		"Content-Type":  {"application/json"},
	}
	return req
}

// Unlike times, allocations are the same on every machine. The race detector adds
// some, hence the build constraint.
func TestAllocationsPerCallAreBounded(t *testing.T) {
	tests := []struct {
		name      string
		url       string
		ctx       context.Context
		callCtx   func(context.Context) context.Context // derives a context for each call; if nil, all calls use ctx
		filter    func(*http.Request) bool
		maxAllocs float64
	}{
		{
			name: "trace and metadata in the context", url: openAIChat,
			ctx: withTraceAndMetadata(t.Context()), maxAllocs: 8,
		},
		{name: "generated trace ID", url: openAIChat, ctx: withCallMetadata(t.Context()), maxAllocs: 9},
		{name: "new context for each call", url: openAIChat, ctx: t.Context(), callCtx: withTraceAndMetadata, maxAllocs: 12},
		{name: "not routed by Filter", url: "https://example.com/", ctx: t.Context(), filter: neverRouted, maxAllocs: 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := new(allocationFreeBase)
			opts := manyHeaders()
			opts.Filter = tt.filter
			tr := newTransport(t, base, opts)
			req := newChatRequest(t, tt.ctx, tt.url)
			got := testing.AllocsPerRun(200, func() {
				r := req
				if tt.callCtx != nil {
					r = req.WithContext(tt.callCtx(tt.ctx))
				}
				if _, err := tr.RoundTrip(r); err != nil {
					t.Fatal(err)
				}
			})
			if strings.HasPrefix(runtime.Version(), "go1.24") {
				tt.maxAllocs++ // newer compilers keep one more value on the stack
			}
			t.Logf("%v allocations, %d headers", got, len(base.header))
			if got > tt.maxAllocs {
				t.Errorf("got %v allocations, want at most %v", got, tt.maxAllocs)
			}
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, bb := range []struct {
		name   string
		url    string
		filter func(*http.Request) bool
	}{
		{name: "rerouted", url: openAIChat},
		{name: "direct", url: gatewayURL + "/chat/completions"},
		{name: "filtered", url: openAIChat, filter: neverRouted},
	} {
		b.Run(bb.name, func(b *testing.B) {
			opts := manyHeaders()
			opts.Filter = bb.filter
			tr, err := portkey.NewTransport(new(allocationFreeBase), opts)
			if err != nil {
				b.Fatal(err)
			}
			req := newChatRequest(b, withTraceAndMetadata(context.Background()), bb.url)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.RoundTrip(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
