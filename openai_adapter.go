package portkey

import (
	"net/http"

	openai "github.com/sashabaranov/go-openai"
)

// OpenAIConfig returns the configuration of a new go-openai client that talks to
// t's gateway directly. authToken is the provider's key; it is "" when Portkey
// holds that. Which provider is meant, the Headers say: by Provider, Config or
// VirtualKey. A field of the result may be changed before it is used.
//
// The client has no timeout; bound a call by its context.
func OpenAIConfig(authToken string, t *Transport) openai.ClientConfig {
	cfg := openai.DefaultConfig(authToken)
	if t != nil && t.settings != nil { // else each call says what is wrong
		cfg.BaseURL = t.gateway.url.String()
	}
	cfg.HTTPClient = &http.Client{Transport: t}
	return cfg
}

// WrapOpenAIConfig returns a copy of cfg whose requests are rerouted through
// Portkey; its BaseURL stays, and says which provider is meant. Errors are those
// of [NewTransport].
//
// An HTTPClient that is an *http.Client is wrapped as by [WrapClient]. Any other
// is called as before, with the request for the gateway; one that follows
// redirects by itself is trusted with the headers. The caller's client is not
// changed.
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

// doerTransport is an HTTPDoer as a base, and transportDoer a Transport as an
// HTTPDoer: without an http.Client around it, which would follow redirects that
// the caller's did not.
type (
	doerTransport struct{ openai.HTTPDoer }
	transportDoer struct{ *Transport }
)

func (d doerTransport) RoundTrip(req *http.Request) (*http.Response, error) { return d.Do(req) }
func (d transportDoer) Do(req *http.Request) (*http.Response, error)        { return d.RoundTrip(req) }
