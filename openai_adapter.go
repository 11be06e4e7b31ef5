package portkey

import (
	"net/http"

	openai "github.com/sashabaranov/go-openai"
)

// OpenAIConfig returns the configuration of a go-openai client that calls t's gateway
// directly. authToken is the provider's API key, or "" if Portkey has it. Headers
// must name the provider: by Provider, Config or VirtualKey. The caller may change the
// result. If t was not made by [NewTransport], each call returns an error.
//
// The client has no timeout: use a context with a deadline to bound a call.
func OpenAIConfig(authToken string, t *Transport) openai.ClientConfig {
	cfg := openai.DefaultConfig(authToken)
	if t != nil && t.settings != nil {
		cfg.BaseURL = t.gateway.url.String()
	}
	cfg.HTTPClient = &http.Client{Transport: t}
	return cfg
}

// WrapOpenAIConfig returns a copy of cfg whose requests go through the gateway. Its
// BaseURL stays the same and determines the provider. Errors are those of
// [NewTransport]. The caller's client is not changed.
//
// If cfg.HTTPClient is an *http.Client, it is wrapped as by [WrapClient]. Any other
// type is called with the request for the gateway. It must not follow redirects,
// which would carry the headers along.
func WrapOpenAIConfig(cfg openai.ClientConfig, opts Options) (openai.ClientConfig, error) {
	var err error
	switch c := cfg.HTTPClient.(type) {
	case nil:
		cfg.HTTPClient, err = WrapClient(nil, opts)
	case *http.Client:
		cfg.HTTPClient, err = WrapClient(c, opts)
	default:
		var t *Transport
		t, err = NewTransport(doerTransport{c}, opts)
		cfg.HTTPClient = transportDoer{t}
	}
	if err != nil {
		return openai.ClientConfig{}, err
	}
	return cfg, nil
}

// doerTransport makes an HTTPDoer a RoundTripper, and transportDoer makes a Transport
// an HTTPDoer. An http.Client would follow redirects that the caller's HTTPDoer
// returns.
type (
	doerTransport struct{ openai.HTTPDoer }
	transportDoer struct{ *Transport }
)

func (d doerTransport) RoundTrip(req *http.Request) (*http.Response, error) { return d.Do(req) }
func (d transportDoer) Do(req *http.Request) (*http.Response, error)        { return d.RoundTrip(req) }
