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

// A naiveTransport is the RoundTripper that programs without this library write:
// it sets headers and changes the URL of the caller's request. .ci/naive runs the
// tests of the promises against it and expects each of them to fail.
type naiveTransport struct {
	base    http.RoundTripper
	gateway string
	headers map[string]string
}

func (n *naiveTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	for name, value := range n.headers {
		req.Header.Set(name, value)
	}
	call := portkey.HeadersFromContext(req.Context()) // stands for context keys of the program itself
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
		gateway, err := url.Parse(n.gateway)
		if err != nil {
			return nil, err
		}
		req.Header.Set("x-portkey-provider", "openai")
		req.URL.Scheme, req.URL.Host, req.Host = gateway.Scheme, gateway.Host, gateway.Host
	}
	return n.base.RoundTrip(req)
}

func init() {
	newTestedTransport = func(base http.RoundTripper, opts portkey.Options) (http.RoundTripper, error) {
		if base == nil {
			base = loopback
		}
		n := &naiveTransport{base: base, gateway: opts.BaseURL, headers: map[string]string{}}
		for name, value := range map[string]string{
			"x-portkey-api-key":     opts.Headers.APIKey,
			"x-portkey-virtual-key": opts.Headers.VirtualKey,
			"x-portkey-provider":    opts.Headers.Provider,
		} {
			if value != "" {
				n.headers[name] = value
			}
		}
		if len(opts.Headers.Metadata) > 0 {
			n.headers["x-portkey-metadata"] = fmt.Sprint(opts.Headers.Metadata)
		}
		return n, nil
	}
}
