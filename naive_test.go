//go:build naive

package portkey_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/portkey-go/portkey"
)

// naive is what Go programs have in place of a portkey.Transport: a RoundTripper
// that sets some headers and leaves it at that. .ci/naive runs the tests of the
// promises against it, and each of them has to fail.
type naive struct {
	Base    http.RoundTripper
	Gateway string
	Headers map[string]string
}

func (n *naive) RoundTrip(req *http.Request) (*http.Response, error) {
	for name, value := range n.Headers {
		req.Header.Set(name, value)
	}
	call := portkey.HeadersFromContext(req.Context()) // in place of keys and types of its own
	if strings.Contains(call.TraceID, "\n") {
		return nil, fmt.Errorf("invalid trace ID %q", call.TraceID)
	}
	if call.TraceID == "" {
		call.TraceID = uuid.NewString()
	}
	req.Header.Set("x-portkey-trace-id", call.TraceID)
	for key, value := range call.Metadata {
		req.Header.Add("x-portkey-metadata", key+"="+value)
	}
	if req.URL.Host == "api.openai.com" {
		gateway, err := url.Parse(n.Gateway)
		if err != nil {
			return nil, err
		}
		req.Header.Set("x-portkey-provider", "openai")
		req.URL.Scheme, req.URL.Host, req.Host = gateway.Scheme, gateway.Host, gateway.Host
	}
	return n.Base.RoundTrip(req)
}

func init() {
	newTestedTransport = func(base http.RoundTripper, opts portkey.Options) (http.RoundTripper, error) {
		if base == nil {
			base = http.DefaultTransport
		}
		n := &naive{Base: base, Gateway: opts.BaseURL, Headers: map[string]string{}}
		for name, value := range map[string]string{
			"x-portkey-api-key": opts.Headers.APIKey, "x-portkey-virtual-key": opts.Headers.VirtualKey, "x-portkey-provider": opts.Headers.Provider,
		} {
			if value != "" {
				n.Headers[name] = value
			}
		}
		if len(opts.Headers.Metadata) > 0 {
			n.Headers["x-portkey-metadata"] = fmt.Sprint(opts.Headers.Metadata)
		}
		return n, nil
	}
}
