package portkey

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/portkey-go/portkey/internal/providers"
)

// send sends out, the request for the gateway. If no connection to the gateway can be made,
// and Options.FailOpen agrees, it sends the caller's request to its provider instead. It
// returns the request that was sent last.
func (t *Transport) send(req, out *http.Request, r *route) (*http.Response, *http.Request, error) {
	if !r.mayFailOpen {
		resp, err := t.base.RoundTrip(out)
		return resp, out, err
	}
	var conns connectionTrace
	resp, err := t.base.RoundTrip(out.WithContext(httptrace.WithClientTrace(out.Context(), conns.trace())))
	if err == nil || !conns.noneMade() || !t.provesNoConnection(err) || req.Context().Err() != nil || !t.failOpen(req, err) {
		return resp, out, err
	}
	direct := directRequest(req, out.Trailer)
	if direct == nil {
		return resp, out, err
	}
	resp, err = t.base.RoundTrip(direct)
	return resp, direct, err
}

// provesNoConnection reports whether err is not that of a connection that was made and then
// given up, which httptrace does not see: the base may have a TLS dialer of its own.
func (t *Transport) provesNoConnection(err error) bool {
	if isPermanent(err) {
		return false
	}
	var opErr *net.OpError
	isDial := errors.As(err, &opErr) && (opErr.Op == "dial" || opErr.Op == "proxyconnect") || errors.As(err, new(*net.DNSError))
	base, isHTTP := t.base.(*http.Transport)
	//lint:ignore SA1019 DialTLS is deprecated, but used
	return isDial || t.gateway.url.Scheme == "http" || isHTTP && base.DialTLSContext == nil && base.DialTLS == nil
}

// directRequest returns req as it would be sent without a Transport, or nil if GetBody
// fails. The base has closed the first body.
func directRequest(req *http.Request, trailer http.Header) *http.Request {
	direct := *withoutHeaders(req, resemblesPortkey)
	direct.Trailer = trailer
	if hasBody(req) {
		body, err := req.GetBody()
		if err != nil || body == nil {
			return nil
		}
		direct.Body = body
	}
	return &direct
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// A connectionTrace observes, in all attempts of the base, whether a connection was made.
// The type of an error proves nothing: if a second attempt is refused, the first one may
// have been sent.
type connectionTrace struct{ wanted, made atomic.Bool }

func (c *connectionTrace) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { c.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { c.made.Store(true) },
		// After a TLS failure there is no GotConn. It may be an attack on the gateway.
		TLSHandshakeStart: func() { c.made.Store(true) },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				c.made.Store(true)
			}
		},
	}
}

// noneMade reports whether the base wanted a connection and made none. A base that is not
// net/http's reports nothing.
func (c *connectionTrace) noneMade() bool { return c.wanted.Load() && !c.made.Load() }

// isDirect reports whether the request would have the same effect without the gateway: the
// gateway calls the provider and the host that the client asked for, with the client's own
// credential. It is called once b is built.
func (b *headerBuilder) isDirect(req *http.Request, c *call, r *route) bool {
	switch {
	case req.Response != nil || !r.rerouted || hasBody(req) && req.GetBody == nil:
		return false
	case b.portkeyHasCredential || b.configuredCredential || b.get(keyProvider) == "" || b.get(keyProvider) != r.implied.Provider:
		return false
	case !isDirectConfig(b.get(keyConfig)):
		return false
	}
	for _, level := range []*headerSet{&b.request, &c.headerSet, b.defaults} {
		for _, f := range level.fields {
			if f.isPortkey && secretKeys[f.key] && f.key != keyAPIKey && f.key != keyConfig {
				return false
			}
		}
	}
	return b.hasImpliedTarget(r)
}

// hasImpliedTarget reports whether the headers that determine what the gateway calls have
// the values that the URL implies.
func (b *headerBuilder) hasImpliedTarget(r *route) bool {
	implied := make(map[string]string)
	for _, h := range r.implied.Headers {
		implied[h.Key] = h.Value
	}
	keys := []string{keyCustomHost, keyHuggingFaceURL, keyOpenAIOrganization, keyOpenAIProject}
	if len(implied) > 0 { // other providers ignore the parameters of Azure and the like
		keys = append(keys, providers.ImpliedKeys()...)
	}
	for _, key := range keys {
		if key != keyAzureToken && b.get(key) != implied[key] {
			return false
		}
	}
	return !r.implied.IsAlias
}

// isDirectConfig reports whether a config changes neither the provider, its host nor the
// credential.
func isDirectConfig(config string) bool {
	if config == "" {
		return true
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(config), &members) != nil { // a slug
		return false
	}
	for name := range members {
		switch name {
		case "retry", "cache", "request_timeout", "cb_config", "strict_open_ai_compliance", "metadata", "debug",
			"input_guardrails", "output_guardrails", "before_request_hooks", "after_request_hooks":
		default:
			return false
		}
	}
	return true
}
