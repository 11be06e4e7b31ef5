//go:build !race

package portkey_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
)

// lean answers without allocating, and remembers the last header.
type lean struct {
	header http.Header
	resp   http.Response
}

func (l *lean) RoundTrip(r *http.Request) (*http.Response, error) {
	l.header = r.Header
	return &l.resp, nil
}

// Allocations are what a call costs on any machine. The race detector adds its own.
func TestAllocationsOfACall(t *testing.T) {
	const url = "https://api.openai.com/v1/chat/completions"
	static := portkey.Headers{
		APIKey: "pk-123", CustomHost: "https://llm.example.com/v1", CacheNamespace: "ns", SpanName: "span",
		StrictOpenAICompliance: portkey.Bool(false), Debug: portkey.Bool(false),
		ForwardHeaders: []string{"X-Tenant"}, Extra: map[string]string{"X-Tenant": "t1"},
		OpenAI: portkey.OpenAI{Organization: "org", Project: "proj"},
	}
	perCall := portkey.Metadata{"_user": "u-17", "request": "r-1"}
	traced := func(ctx context.Context) context.Context {
		return portkey.WithMetadata(portkey.WithTrace(ctx, "0af7651916cd43dd8448eb211c80319c"), perCall)
	}
	background := context.Background()
	tests := []struct {
		name   string
		url    string
		ctx    context.Context
		each   func(context.Context) context.Context // the context of each call; nil: ctx
		filter bool
		max    float64
	}{
		{name: "trace and metadata in the context", url: url, ctx: traced(background), max: 8},
		{name: "trace ID made", url: url, ctx: portkey.WithMetadata(background, perCall), max: 9},
		{name: "context built for the call", url: url, ctx: background, each: traced, max: 12},
		{name: "let past by Filter", url: "https://example.com/", ctx: background, filter: true, max: 0},
	}
	for _, tt := range tests {
		base := new(lean)
		opts := portkey.Options{BaseURL: "https://gateway.example.com/portkey/v1", Headers: static}
		if tt.filter {
			opts.Filter = func(*http.Request) bool { return false }
		}
		tr := newTransport(t, base, opts)
		req, err := http.NewRequestWithContext(tt.ctx, "POST", tt.url, strings.NewReader(`{"model":"m","messages":[]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Accept": {"application/json"}, "Authorization": {"Bearer sk-1"}, "Content-Type": {"application/json"}}
		got := testing.AllocsPerRun(200, func() {
			r := req
			if tt.each != nil {
				r = req.WithContext(tt.each(tt.ctx))
			}
			if _, err := tr.RoundTrip(r); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s: %v allocations, %d headers", tt.name, got, len(base.header))
		if got > tt.max {
			t.Errorf("%s: got %v allocations, want at most %v", tt.name, got, tt.max)
		}
	}
}
