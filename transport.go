// Package portkey routes any Go LLM client through the Portkey AI gateway.
//
// A [Transport] goes into the http.Client of go-openai, openai-go, langchaingo
// or any other client that takes one. The client is used as before; its requests
// go to the gateway, with the x-portkey-* headers that [Options] and the call's
// context name:
//
//	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig(key), portkey.Options{})
//	...
//	client := openai.NewClientWithConfig(cfg)
//	ctx = portkey.WithTrace(ctx, "checkout-42")
//	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"_user": "u-17"})
//	resp, err := client.CreateChatCompletion(ctx, req)
//
// [WrapClient] does the same to any http.Client, [NewTransport] to any
// http.RoundTripper, and [OpenAIConfig] makes a go-openai client that talks to
// the gateway directly.
package portkey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode"
)

// DefaultBaseURL is the hosted gateway.
const DefaultBaseURL = "https://api.portkey.ai/v1"

// Options configures a Transport. It is copied by [NewTransport]: changing a map
// or a slice of it later changes nothing.
type Options struct {
	// BaseURL is the gateway, with its version path. "" means $PORTKEY_BASE_URL,
	// and if that is empty too, DefaultBaseURL. It is http or https, without
	// credentials, query or fragment.
	BaseURL string

	// Headers are sent with every request. An empty Headers.APIKey means
	// $PORTKEY_API_KEY; the hosted gateway needs one, a self-hosted one does not.
	Headers Headers

	// Upstreams are providers' base URLs to reroute, beyond the known ones
	// (https://api.openai.com/v1, https://api.anthropic.com/v1, Azure OpenAI and
	// about fifty more: see providers.go). They go before those.
	//
	// What is under a provider's host but not under its base URL is no API call.
	// Nor is, under a known one, what has an oauth, oauth2 or .well-known in its
	// path: some SDKs exchange credentials with the http.Client that they are
	// given, and that is not for the gateway to see. Both are refused like a
	// request to an unknown host, and Filter lets them past.
	Upstreams []Upstream

	// Filter says which requests are the Transport's; nil means every one. A
	// request for which it is false is passed on untouched to its own URL. Only
	// x-portkey-* headers that it carries are left out, unless it goes to the
	// gateway. Filter is not asked about redirects: those of the gateway stay the
	// Transport's, those of others are passed on. It may be called concurrently and
	// must not change the request.
	Filter func(*http.Request) bool

	// NewTraceID makes the trace ID of a call that has none; "" sends none. nil
	// means a random UUID. It may be called concurrently.
	NewTraceID func(context.Context) string
}

// A Transport is an http.RoundTripper that sends requests through the Portkey
// gateway. It sends to the gateway what is addressed to the gateway or to a known
// provider, adds the x-portkey-* headers of its [Options] and of the request's
// context, and changes nothing else. It promises:
//
//  1. A Portkey header never leaves the gateway's origin: scheme, host and port.
//     Once a redirect has left it, every further hop goes without x-portkey-*
//     headers and credentials, even back at the gateway. A redirect that would
//     carry a request body elsewhere is refused with a [*RouteError].
//  2. No request goes around the gateway unless Options.Filter said so. A request
//     to neither the gateway nor a known provider fails with a [*RouteError].
//  3. The caller's request is never changed, its body is always closed, and the
//     response is handed back as it came, and so is the base's error.
//  4. A secret is never printed, by fmt, log/slog or encoding/json, or in an error.
//
// What the Transport cannot see, it cannot promise: a base that follows redirects
// by itself carries the headers along. And Response.Request is the request that
// was sent, as net/http has it, with its headers: whoever logs that, has to leave
// out [SensitiveHeaders].
//
// For a header, what the request already carries goes before the inner context,
// that before the outer one, and that before Options; metadata is merged key by
// key. A trace ID that none of them gives is taken from a traceparent header, or
// made anew. When Portkey certainly holds the provider's credential (a virtual
// key, an "@slug" provider, a config that names a provider or targets), the
// client's own is not sent, unless ForwardHeaders names it.
//
// A Transport sets no timeout. Bound a call by its context: http.Client.Timeout
// would cut streams off.
//
// A Transport does not change after NewTransport, and is safe for concurrent use.
type Transport struct {
	base http.RoundTripper // nil: http.DefaultTransport
	*settings
}

// settings are apart from the Transport because fmt, given a wrong verb, prints
// what a pointer points to, but no further.
type settings struct {
	gateway    *url.URL
	name, port string // of the gateway's host
	static     *layer
	upstreams  map[string][]upstream // by host
	filter     func(*http.Request) bool
	newTraceID func(context.Context) string
}

var _ http.RoundTripper = (*Transport)(nil)

// NewTransport returns a Transport that sends through base; nil means
// http.DefaultTransport, looked up at each request. [NewRetryTransport] makes one
// that tries again. Everything about opts that can be checked is checked here: an
// error is a [*HeaderError] for a header's value, or names the option.
func NewTransport(base http.RoundTripper, opts Options) (*Transport, error) {
	t := &Transport{retryingBase(base), &settings{filter: opts.Filter, newTraceID: opts.NewTraceID}}
	if t.newTraceID == nil {
		t.newTraceID = newTraceID
	}

	name, text := "BaseURL", opts.BaseURL
	if text == "" {
		name, text = "PORTKEY_BASE_URL", os.Getenv("PORTKEY_BASE_URL")
	}
	if text == "" {
		text = DefaultBaseURL
	}
	var fault string
	if t.gateway, fault = parseBaseURL(text); fault != "" {
		return nil, errors.New("portkey: " + name + " " + fault)
	}
	t.name, t.port = hostPort(t.gateway.Scheme, t.gateway.Host)

	headers := opts.Headers
	static, err := newLayer(&headers)
	if err != nil {
		return nil, err
	}
	if _, ok := static.line(keyAPIKey); !ok {
		headers.APIKey = os.Getenv("PORTKEY_API_KEY")
		if static, err = newLayer(&headers); err != nil {
			return nil, err
		}
	}
	t.static = &static
	if err := new(wire).compose(nil, new(layer), t.static, new(route), func() string { return "" }); err != nil {
		return nil, err
	}
	hosted, _ := parseBaseURL(DefaultBaseURL)
	if _, ok := static.line(keyAPIKey); !ok && t.isGateway(hosted, "") {
		return nil, errors.New("portkey: Headers.APIKey and PORTKEY_API_KEY are empty: the hosted gateway needs a key")
	}

	own := make([]upstream, len(opts.Upstreams))
	for i, u := range opts.Upstreams {
		base, fault := parseBaseURL(u.BaseURL)
		if fault != "" {
			return nil, fmt.Errorf("portkey: Upstreams[%d].BaseURL %s", i, fault)
		}
		provider, err := newLine(keyProvider, u.Provider)
		if err != nil {
			return nil, fmt.Errorf("portkey: Upstreams[%d].Provider: %w", i, err)
		}
		own[i] = newUpstream(base, provider)
	}
	t.upstreams = byHost(own)
	return t, nil
}

// WrapClient returns a copy of c (nil: a zero http.Client) whose Transport goes
// through Portkey. Its timeout, cookie jar and redirect policy are kept, and c
// itself is not changed. Errors are those of [NewTransport].
func WrapClient(c *http.Client, opts Options) (*http.Client, error) {
	var wrapped http.Client
	if c != nil {
		wrapped = *c
	}
	t, err := NewTransport(wrapped.Transport, opts)
	if err != nil {
		return nil, err
	}
	wrapped.Transport = t
	return &wrapped, nil
}

// RoundTrip sends req through the gateway. Before anything is sent it can fail
// with a [*RouteError] or a [*HeaderError]; other errors are the base's.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	call := callFrom(req.Context())
	to, err := t.route(req)
	if err != nil {
		return nil, refuse(req, err)
	}
	out, err := t.fill(req, to, call)
	if err != nil {
		return nil, refuse(req, err)
	}
	resp, err := t.send(out)
	if to.gateway {
		report(resp, call)
	}
	return resp, err
}

// refuse closes the body of a request that is not sent, as a RoundTripper must.
func refuse(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return err
}

func (t *Transport) send(req *http.Request) (*http.Response, error) {
	if t.base == nil {
		return http.DefaultTransport.RoundTrip(req)
	}
	return t.base.RoundTrip(req)
}

// report tells the caller what the gateway said about the call.
func report(resp *http.Response, c *call) {
	if c.info == nil {
		return
	}
	*c.info = ResponseInfo{}
	if resp != nil {
		*c.info = ParseResponse(resp.Header)
	}
}

// CloseIdleConnections closes the idle connections of the base, if it knows how to.
func (t *Transport) CloseIdleConnections() {
	var base any = t.base
	if t.base == nil {
		base = http.DefaultTransport
	}
	if c, ok := base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// A route is where a request goes.
type route struct {
	gateway  bool    // to the gateway, with Portkey's headers; else to its own URL, without
	url      url.URL // at the gateway
	endpoint string  // what is in it behind the gateway's base URL
	rerouted bool    // the client asked for a provider's URL
	says     []line  // what that URL says: the provider, and then the rest
	traceID  string  // of the hop before, for a redirect

	drop func(key string) bool // the headers that do not go elsewhere
}

// route decides where req goes.
func (t *Transport) route(req *http.Request) (route, error) {
	if t == nil || t.settings == nil {
		return route{}, errors.New("portkey: a Transport is made by NewTransport")
	}
	if req.URL == nil {
		return route{}, errors.New("portkey: the request has no URL")
	}
	kept, been := t.trail(req)
	redirect := req.Response != nil
	if t.filter != nil && !been && (redirect || !t.filter(req)) {
		if kept && t.isGateway(req.URL, req.Host) {
			return route{drop: func(string) bool { return false }}, nil
		}
		return route{drop: isPortkey}, nil
	}
	if to, ok := t.target(req); ok && kept {
		if redirect { // it goes on as what it was
			last := req.Response.Request.Header
			to.traceID = last.Get(keyTrace)
			if len(to.says) == 0 {
				to.says = saidBefore(last)
			}
		}
		return to, nil
	}
	if !redirect || req.Body != nil && req.Body != http.NoBody {
		return route{}, &RouteError{URL: redactURL(req.URL), Gateway: t.gateway.String(), Redirect: redirect}
	}
	return route{drop: func(key string) bool { return isPortkey(key) || isCredential(key) }}, nil
}

// trail looks back at the redirects that led to req: kept says that every hop
// was at the gateway, been that one was, or was meant to be and the base took it
// elsewhere. Of a trail that breaks or does not end the worst is assumed.
func (t *Transport) trail(req *http.Request) (kept, been bool) {
	kept = true
	hop := req
	for range 1000 {
		if hop.Response == nil {
			return kept, been
		}
		if hop = hop.Response.Request; hop == nil || hop.URL == nil {
			break
		}
		at := t.isGateway(hop.URL, hop.Host)
		kept = kept && at
		been = been || at || anyKey(hop.Header, isPortkey)
	}
	return false, true
}

// target returns where at the gateway req goes, if it is a request for it.
func (t *Transport) target(req *http.Request) (route, bool) {
	if t.isGateway(req.URL, req.Host) {
		return t.direct(req.URL), true
	}
	if req.Response != nil {
		// The client resolved the Location against the URL it asked for. It is
		// relative to the one that answered.
		if u, err := req.Response.Location(); err == nil && t.isGateway(u, "") && u.RequestURI() == req.URL.RequestURI() {
			return t.direct(u), true
		}
	}
	if req.Host != "" && req.Host != req.URL.Host {
		return route{}, false
	}
	return t.reroute(req.URL)
}

// direct returns the route of a request that is for the gateway itself.
func (t *Transport) direct(u *url.URL) route {
	return route{gateway: true, url: *u, endpoint: strings.TrimPrefix(u.Path, t.gateway.Path)}
}

// isGateway reports whether a request with this URL, and this Host if it is not
// "", goes to the gateway's origin: its scheme, host and port.
func (t *Transport) isGateway(u *url.URL, host string) bool {
	return u.Opaque == "" && lowerASCII(u.Scheme) == t.gateway.Scheme && t.isGatewayHost(u.Host) &&
		(host == "" || t.isGatewayHost(host))
}

func (t *Transport) isGatewayHost(host string) bool {
	if host == t.gateway.Host { // as usual, without parsing
		return true
	}
	if !strings.Contains(lowerASCII(host), t.name) { // as usual too
		return false
	}
	name, port := hostPort(t.gateway.Scheme, host)
	return name == t.name && port == t.port
}

func hostPort(scheme, hostport string) (host, port string) {
	u := url.URL{Host: hostport}
	port = u.Port()
	switch {
	case port != "":
	case scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return lowerASCII(u.Hostname()), port
}

// lowerASCII leaves text that is not ASCII as it is: strings.ToLower makes an i
// of U+0130, and that is another host.
func lowerASCII(s string) string {
	for i := range len(s) {
		if s[i] > unicode.MaxASCII {
			return s
		}
	}
	return strings.ToLower(s)
}

// fill returns the request to send in place of req: a copy, with a header of its own.
func (t *Transport) fill(req *http.Request, to route, c *call) (*http.Request, error) {
	if !to.gateway {
		return without(req, to.drop), nil
	}
	if c.err != nil {
		return nil, c.err
	}
	var w wire
	if err := w.compose(req.Header, &c.layer, t.static, &to, func() string {
		if to.traceID != "" {
			return to.traceID
		}
		return t.newTraceID(req.Context())
	}); err != nil {
		return nil, err
	}
	if w.holds && len(to.says) > 0 && to.says[0].value == google {
		to.url.RawQuery = withoutKey(to.url.RawQuery)
	}
	// Not Clone: it would copy the trailers, which are filled in while the body is read.
	out := &struct { // one allocation
		http.Request
		url url.URL
	}{*req, to.url}
	out.URL, out.Host, out.Header = &out.url, out.url.Host, w.header
	return &out.Request, nil
}

// without returns req without the headers to drop: itself, if it has none.
func without(req *http.Request, drop func(key string) bool) *http.Request {
	if !anyKey(req.Header, drop) {
		return req
	}
	out := *req
	out.Header = req.Header.Clone()
	maps.DeleteFunc(out.Header, func(key string, _ []string) bool { return drop(key) })
	return &out
}

func anyKey[V any](m map[string]V, is func(key string) bool) bool {
	for key := range m {
		if is(key) {
			return true
		}
	}
	return false
}

// RouteError reports a request that does not go to the gateway, and was not sent:
// its URL is neither the gateway's nor a known provider's, or a redirect would
// have carried its body away from the gateway.
type RouteError struct {
	URL      string // of the request, without query and credentials
	Gateway  string // Options.BaseURL
	Redirect bool   // refused as a redirect
}

// Error names both URLs.
func (e *RouteError) Error() string {
	if e.Redirect {
		return "portkey: refused a redirect that would carry the request body to " + e.URL + ", away from the gateway " + e.Gateway
	}
	return "portkey: " + e.URL + " is neither at the gateway " + e.Gateway +
		" nor part of a known provider's API: see Options.BaseURL, Upstreams and Filter"
}

// redactURL returns what can be shown of u.
func redactURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
