// Package portkey routes the requests of any Go LLM client through the Portkey AI
// gateway.
//
// A [Transport] is an http.RoundTripper for the http.Client of go-openai, openai-go,
// anthropic-sdk-go, langchaingo or any other client that accepts one. The client is used
// as before. Its requests go to the gateway, with the x-portkey-* headers that [Options]
// and the context of the call contain:
//
//	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig(""), portkey.Options{
//		ProviderSlugs: map[string]string{"openai": "@openai-prod"},
//	})
//	...
//	client := openai.NewClientWithConfig(cfg)
//	ctx = portkey.WithTrace(ctx, "checkout-42")
//	resp, err := client.CreateChatCompletion(ctx, req)
//
// [WrapClient] wraps any http.Client, and [NewTransport] any http.RoundTripper.
// [OpenAIConfig] configures a go-openai client that calls the gateway directly.
//
// # Credentials
//
// Portkey's API key is Headers.APIKey, Options.APIKeySource or $PORTKEY_API_KEY. It is sent
// to the gateway only. The provider's credential is the client's own. It is sent to the
// gateway as well, unless Portkey has one: see [Transport].
//
// # Per-call values
//
// [WithTrace], [WithMetadata] and [WithHeaders] set parameters in the context of a call, and
// [WithResponseInfo] returns what the gateway reports about it.
//
// # Environment
//
// $PORTKEY_API_KEY and $PORTKEY_BASE_URL are defaults of Options. They are read by
// [NewTransport] only.
//
// # Errors
//
// A value that cannot be sent is a [*HeaderError], which may wrap a [*ConfigError]. A
// request that is neither for the gateway nor for a known provider is a [*RouteError].
// Nothing has then been sent. Errors of the network are returned unchanged.
//
// # Streams
//
// With Options.StrictStreams, an event stream that ends before its last event ends with a
// [*StreamError]: the gateway does not report that a provider broke off.
package portkey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/portkey-go/portkey/internal/providers"
)

// DefaultBaseURL is the base URL of the gateway that Portkey hosts.
const DefaultBaseURL = "https://api.portkey.ai/v1"

// ErrNoAPIKey is returned by [NewTransport] if the gateway is the hosted one and there
// is no API key. The error of a call wraps it if Options.APIKeySource returns no key.
var ErrNoAPIKey = errors.New("portkey: the hosted gateway needs an API key: set Headers.APIKey, APIKeySource or PORTKEY_API_KEY")

// Options configures a Transport. [NewTransport] copies it: changing a map or slice
// in it later has no effect.
type Options struct {
	// BaseURL is the gateway's base URL, with its version path. The default is
	// $PORTKEY_BASE_URL, or else DefaultBaseURL. It is http or https and has no
	// credentials, query or fragment. An empty path means /v1.
	BaseURL string

	// Headers are sent with every request to the gateway. The default of
	// Headers.APIKey is $PORTKEY_API_KEY. The hosted gateway needs an API key, here, in
	// the environment or from APIKeySource.
	Headers Headers

	// APIKeySource returns the Portkey API key, or a JWT, for a request that has none in
	// its context or header: for keys that are rotated, and for tokens that expire. It is
	// called once for each such RoundTrip to the gateway, concurrently, with the request's
	// context. It must cache what is expensive to get. If it returns an error, RoundTrip
	// returns an error that wraps it. It may return "" if the gateway is not the hosted one.
	// If it is set, $PORTKEY_API_KEY is ignored, and Headers.APIKey must be empty.
	APIKeySource func(context.Context) (string, error)

	// ProviderSlugs maps the name of a known provider to the "@slug" of the one that is
	// saved at Portkey, which is used in its place: {"openai": "@openai-prod"}. A request
	// to https://api.openai.com/v1 then has the header x-portkey-provider: @openai-prod. The
	// slug "" sends no provider: for models like "@openai-prod/gpt-4o", and for API keys
	// with a default config.
	//
	// Either way, the client's credential is not sent, nor what the URL says about an
	// account (Azure's resource, deployment and API version); a region is sent. A base URL
	// with a custom host is not affected: the saved provider would be called at its own
	// host, which may be in another region. To use a saved provider there, name the base URL
	// in Upstreams. A provider in the context, on the request or in Options.Headers takes
	// precedence.
	ProviderSlugs map[string]string

	// Upstreams are base URLs of providers that are routed through the gateway, in
	// addition to about fifty known ones (https://api.openai.com/v1,
	// https://api.anthropic.com/v1, Azure OpenAI, ...). They take precedence over the
	// known ones.
	//
	// A request to a provider's host, but not below its base URL, is refused like one
	// to an unknown host, unless Filter excludes it. So is a request below a known base
	// URL with oauth, oauth2 or .well-known in its path: some SDKs exchange credentials
	// through the http.Client that they are given, and the gateway must not see them.
	//
	// If two Upstreams have the same BaseURL, the first one counts. If a URL is below
	// several, the longest one counts.
	Upstreams []Upstream

	// Filter reports whether a request should go through the gateway. If nil, every
	// request does. Other requests are passed on to their own URL unchanged, except
	// that x-portkey-* headers are removed unless the URL is the gateway's.
	//
	// Redirects from the gateway are always handled by the Transport. Redirects from other
	// hosts are passed on without x-portkey-* headers, except that one to a provider's API
	// is refused unless Filter excludes it. For a redirect, Filter is called with the
	// requests that led to it. It may be called concurrently and must not change the
	// request.
	Filter func(*http.Request) bool

	// NewTraceID returns the trace ID of a call that has none. If it returns "", the
	// call has no trace ID. The default returns a random UUID. NewTraceID may be called
	// concurrently.
	NewTraceID func(context.Context) string

	// PassUnknownHosts passes on requests that are neither for the gateway nor for a known
	// provider's API, without x-portkey-* headers, instead of refusing them: for an
	// http.Client that other traffic shares, and for http.DefaultTransport. Their
	// redirects are passed on as well, except that one to a provider's API is refused. So
	// is a host that is not ASCII: write it in Punycode.
	//
	// A provider that is neither known nor in Upstreams counts as other traffic, and is
	// called without the gateway.
	PassUnknownHosts bool

	// IgnoreRequestHeaders ignores x-portkey-* headers of the request: for a reverse
	// proxy, whose requests come from outside. It also ignores baggage and traceparent,
	// which the gateway reads as metadata and trace, trailers, an Upgrade other than to a
	// WebSocket, and each header that Options or the context sets. Headers.Authorization in Options then replaces the credential of
	// the request, and redirects of the gateway are refused.
	IgnoreRequestHeaders bool

	// StrictStreams makes an event stream that ends before its last event end with a
	// [*StreamError] instead of io.EOF. Without it, an answer that the provider broke off
	// looks complete: the gateway ends its own response properly. Streams are judged if they
	// answer a POST to .../chat/completions, .../completions, .../messages or .../responses
	// with status 200 or 246 and without a Content-Encoding; their last events are [DONE] or
	// a finish_reason, message_stop, and response.completed, .incomplete or .failed. What is
	// cut off after that, such as a second choice, is not noticed. Bytes are passed on as they
	// arrive.
	StrictStreams bool

	// StreamIdleTimeout ends an event stream in answer to a POST with a [*StreamError] if
	// reading waits for this long without an event, and ends the call. Comments and pings are
	// not events, so it must be longer than a model thinks: at least 5 minutes is sensible.
	// If 0, there is no limit. The base's response bodies must allow Close during Read, as
	// net/http's do.
	StreamIdleTimeout time.Duration

	// FailOpen is called if no connection to the gateway could be made, so that the
	// provider was certainly not called, and if the client's request says everything that
	// the provider needs: it has the provider's URL and credential, and the gateway would
	// have called that provider with them. If FailOpen returns true, the request is sent to
	// the provider as the client made it, without Portkey's headers: guardrails, budgets and
	// logs are bypassed. If nil or false, the error is returned.
	//
	// It is not called after a TLS failure or the end of the context, nor for a request to
	// the gateway's URL, a redirect, a body without GetBody, a saved provider or config, a
	// config that changes the provider or the request, or a credential in Headers. The base
	// must be net/http's, or pass its httptrace on, and not another Transport. It may be
	// called concurrently and must not change the request.
	FailOpen func(*http.Request, error) bool
}

// An Upstream is a base URL that clients use, and the provider that is called for
// it. Requests for <BaseURL>/chat/completions go to <gateway>/chat/completions.
type Upstream struct {
	// BaseURL is the URL in front of the endpoints ("https://llm.example.com/v1"). It is
	// http or https and has no credentials, query or fragment.
	BaseURL string
	// Provider is the name of a provider, or the "@slug" of one that is saved at
	// Portkey. It is sent as x-portkey-provider, unless the call has another provider, a
	// virtual key, a config slug, or a config that names a provider or targets. If it is
	// "", no provider is sent.
	Provider string
	// CustomHost is sent as x-portkey-custom-host if Provider is sent: the base URL that
	// the gateway calls. The default makes the gateway call the URL that the client
	// asked for: it is derived from BaseURL, unless the gateway calls that by default or
	// Provider is "" or a slug. Headers.CustomHost overrides it.
	CustomHost string
}

// A Transport is an http.RoundTripper that sends requests through the Portkey
// gateway. It is immutable and safe for concurrent use; [NewTransport] makes one.
// It promises:
//
//  1. A Portkey header, a credential or a prompt never leaves the gateway's origin: its
//     scheme, host and port. After a redirect has left the origin, the further requests
//     of the chain carry no x-portkey-* header, no credential in any header and no
//     Referer, even if they return to the gateway. One that would carry the request
//     body, or go to a provider, is refused with a [*RouteError].
//  2. No request goes around the gateway, unless Options.Filter, PassUnknownHosts or
//     FailOpen allows it. A request for neither the gateway nor a known provider fails with a
//     [*RouteError] that gives the reason.
//  3. The caller's request is never changed, its body is always closed, also if a
//     callback panics, and the response and the error of the base are returned
//     unchanged. The only exception is the end of an event stream, with
//     Options.StrictStreams or StreamIdleTimeout.
//  4. A secret is never printed: by fmt, log/slog or encoding/json, in an error or
//     in a panic.
//
// The Transport cannot keep these promises for other RoundTrippers: a base that
// follows redirects takes the headers along. Response.Request is the request that
// was sent, as in net/http, with its headers: do not log the headers that
// [SecretHeaders] lists.
//
// # Precedence
//
// A header on the request overrides the inner context, which overrides the outer
// context, which overrides Options. Metadata is merged key by key. Without an
// explicit trace ID, the trace-id of a traceparent header is used, or a new one
// is made.
//
// # Credentials
//
// The client's credential is sent to the gateway, in the header in which the gateway
// reads it. Headers.Authorization in a context replaces it, in Options it is a default.
// If Portkey certainly has the provider's credential (because of a virtual key, an
// "@slug" provider, Options.ProviderSlugs, or a config that names a provider or targets),
// the client's is not sent, unless ForwardHeaders names its header.
//
// # Timeouts
//
// A Transport sets no timeout. Use a context with a deadline to bound a call, and
// Options.StreamIdleTimeout to bound the silence of a stream: http.Client.Timeout would also
// end a stream that is still being received.
type Transport struct{ *settings }

// settings is a struct of its own, behind a pointer, to keep secrets out of the output
// of fmt. For %w, fmt does not call Format but prints the fields of the Transport; it
// prints pointers in them as addresses.
type settings struct {
	base       http.RoundTripper
	gateway    gateway
	defaults   *headerSet // of Options.Headers
	providers  *providers.Table
	filter     func(*http.Request) bool
	failOpen   func(*http.Request, error) bool
	newTraceID func(context.Context) string

	apiKeySource         func(context.Context) (string, error)
	providerSlugs        map[string]string
	passUnknownHosts     bool
	ignoreRequestHeaders bool
	strictStreams        bool
	streamIdleTimeout    time.Duration
}

var _ http.RoundTripper = (*Transport)(nil)

// NewTransport returns a Transport that sends its requests through base;
// [NewRetryTransport] returns a base that retries. It returns a [*HeaderError] if a
// header cannot be sent, or an error that names the invalid option.
//
// If base is nil, all Transports share a clone of http.DefaultTransport that keeps
// up to 100 idle connections to a host, instead of 2: all calls go to one host now.
// The clone is made when it is first needed, and does not have protocols that
// were added with RegisterProtocol; set base to use those. If http.DefaultTransport
// is not an *http.Transport when NewTransport is called, it is used without cloning.
func NewTransport(base http.RoundTripper, opts Options) (*Transport, error) {
	gateway, err := newGateway(opts.BaseURL)
	if err != nil {
		return nil, err
	}
	defaults, err := newHeaderSet(&opts.Headers)
	if err != nil {
		return nil, err
	}
	if err := addDefaultAPIKey(&defaults, &opts); err != nil {
		return nil, err
	}
	if err := checkSize(defaults.all); err != nil {
		return nil, err
	}
	if !defaults.has(keyAPIKey) && opts.APIKeySource == nil && gateway.isHosted() {
		return nil, ErrNoAPIKey
	}
	if err := checkProviderSlugs(opts.ProviderSlugs); err != nil {
		return nil, err
	}
	table, err := newProviderTable(gateway, opts.Upstreams)
	if err != nil {
		return nil, err
	}
	if opts.StreamIdleTimeout < 0 {
		return nil, errors.New("portkey: StreamIdleTimeout is negative: 0 means no limit")
	}
	if base == nil {
		base = defaultBase()
	}
	if inner := innerTransport(base); inner != nil && inner.settings != nil {
		if !inner.gateway.sameOrigin(gateway.url) || inner.ignoreRequestHeaders {
			return nil, errors.New("portkey: the base is a Transport for another gateway, or with IgnoreRequestHeaders, " +
				"which would remove the headers of this one: use an http.Client for each")
		}
		if opts.FailOpen != nil {
			return nil, errors.New("portkey: the base is a Transport, which would send a call that fails open to the gateway " +
				"again: set FailOpen there, or use another base")
		}
	}
	s := &settings{
		base:                 adaptRetry(base),
		gateway:              gateway,
		defaults:             &defaults,
		providers:            table,
		filter:               opts.Filter,
		failOpen:             opts.FailOpen,
		newTraceID:           opts.NewTraceID,
		apiKeySource:         opts.APIKeySource,
		providerSlugs:        maps.Clone(opts.ProviderSlugs),
		passUnknownHosts:     opts.PassUnknownHosts,
		ignoreRequestHeaders: opts.IgnoreRequestHeaders,
		strictStreams:        opts.StrictStreams,
		streamIdleTimeout:    opts.StreamIdleTimeout,
	}
	if s.newTraceID == nil {
		s.newTraceID = newTraceID
	}
	return &Transport{s}, nil
}

// addDefaultAPIKey adds $PORTKEY_API_KEY to defaults, unless there is another key or a
// source of keys.
func addDefaultAPIKey(defaults *headerSet, opts *Options) error {
	hasKey, key := defaults.has(keyAPIKey), os.Getenv("PORTKEY_API_KEY")
	switch {
	case hasKey && opts.APIKeySource != nil:
		return errors.New("portkey: Options has both APIKeySource and Headers.APIKey: remove one of them")
	case hasKey || opts.APIKeySource != nil || key == "":
		return nil
	}
	return defaults.add(keyAPIKey, key)
}

func checkProviderSlugs(slugs map[string]string) error {
	for name, slug := range slugs {
		if _, known := providers.Find(name); !known {
			return fmt.Errorf("portkey: ProviderSlugs has the name %q, which is not that of a known provider; "+
				"base URLs of others are named in Upstreams", name)
		}
		if slug == "" {
			continue
		}
		if f, err := newHeaderField(keyProvider, slug); err != nil {
			return fmt.Errorf("portkey: ProviderSlugs[%q]: %w", name, err)
		} else if !f.portkeyHasCredential {
			return fmt.Errorf("portkey: ProviderSlugs[%q] is not a slug: write @ before it", name)
		}
	}
	return nil
}

// innerTransport returns base if it is a Transport, also behind NewRetryTransport.
func innerTransport(base http.RoundTripper) *Transport {
	if rt, ok := base.(*retryablehttp.RoundTripper); ok && rt.Client != nil && rt.Client.HTTPClient != nil {
		base = rt.Client.HTTPClient.Transport
	}
	t, _ := base.(*Transport)
	return t
}

func newProviderTable(gateway gateway, upstreams []Upstream) (*providers.Table, error) {
	table := new(providers.Table)
	for i, u := range upstreams {
		parsed, err := providers.ParseBaseURL(u.BaseURL)
		if err != nil {
			return nil, fmt.Errorf("portkey: Upstreams[%d].BaseURL %w", i, err)
		}
		if gateway.sameOrigin(parsed) {
			return nil, fmt.Errorf("portkey: Upstreams[%d].BaseURL is at the gateway's own origin: requests to it are for the gateway", i)
		}
		if _, err := newHeaderField(keyProvider, u.Provider); err != nil {
			return nil, fmt.Errorf("portkey: Upstreams[%d].Provider: %w", i, err)
		}
		if u.CustomHost != "" {
			if _, err := newHeaderField(keyCustomHost, u.CustomHost); err != nil {
				return nil, fmt.Errorf("portkey: Upstreams[%d].CustomHost: %w", i, err)
			}
		}
		if err := table.Add(providers.BaseURL{URL: parsed, Provider: u.Provider, CustomHost: u.CustomHost}); err != nil {
			return nil, fmt.Errorf("portkey: Upstreams[%d].BaseURL %w", i, err)
		}
	}
	return table, nil
}

// WrapClient returns a copy of c whose requests go through a new Transport, which
// has c's Transport as its base. Timeout, cookie jar and redirect policy stay the
// same. The copy shares the jar: it sends cookies of the provider's host to the
// gateway, and stores the gateway's cookies for the provider's host. A nil c means a
// zero http.Client. Errors are those of [NewTransport].
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

// RoundTrip sends req through the gateway, or to its own URL if Options.Filter
// excludes it. It returns a [*RouteError] or a [*HeaderError] if it refuses to send
// req, and errors of the base unchanged. It returns another error if req has no URL or
// t was not made by NewTransport.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	body := req.Body
	defer func() { // also if Filter or NewTraceID panics
		if body != nil {
			body.Close()
		}
	}()
	r, err := t.route(req)
	if err != nil {
		return nil, err
	}
	c := callFrom(req.Context())
	out, err := t.outgoing(req, &r, c)
	if err != nil {
		return nil, err
	}
	body = nil // from here on, the base closes it
	if r.action != toGateway {
		return t.base.RoundTrip(out)
	}
	resp, sent, err := t.send(req, out, &r)
	c.recordResponse(resp, sent != out)
	if resp != nil {
		t.watchStream(resp, sent)
	}
	return resp, err
}

// outgoing returns the request to send: req itself if it is sent unchanged, or else a
// modified copy.
func (t *Transport) outgoing(req *http.Request, r *route, c *call) (*http.Request, error) {
	if t.ignoreRequestHeaders && len(req.Trailer) > 0 {
		without := *req
		without.Trailer = nil
		req = &without
	} else if anyKey(req.Trailer, resemblesPortkey) {
		return nil, &HeaderError{Name: "x-portkey-*", Reason: "is a trailer, which the gateway does not read: send it as a header"}
	}
	if r.action != toGateway {
		return withoutHeaders(req, r.action.removes), nil
	}
	if c.err != nil {
		return nil, c.err
	}
	b := headerBuilder{settings: t.settings, isRedirect: req.Response != nil}
	if err := b.build(req, c, r); err != nil {
		return nil, err
	}
	switch {
	case (r.rerouted || t.ignoreRequestHeaders) && b.misleadsGateway(&r.url):
		return nil, t.refuse(req, "the gateway takes a part of its path for a host or a path of its own")
	case b.hasIgnoredCustomHost(r.endpoint):
		return nil, t.refuse(req, "the gateway ignores the custom host for this endpoint")
	case r.first != nil && t.leadsElsewhere(r, &b, c):
		return nil, t.refuse(req, "it leads to another provider")
	}
	r.mayFailOpen = t.failOpen != nil && b.isDirect(req, c, r)
	// Request.Clone would copy the trailers, which are set while the body is read.
	out := &struct { // one allocation
		http.Request
		url url.URL
	}{*req, r.url}
	out.URL, out.Host, out.Header = &out.url, out.url.Host, b.header
	return &out.Request, nil
}

// withoutHeaders returns req without the headers for which remove returns true. It
// does not change req: it returns a copy if there are any.
func withoutHeaders(req *http.Request, remove func(key string) bool) *http.Request {
	if !anyKey(req.Header, remove) {
		return req
	}
	out := *req
	out.Header = req.Header.Clone()
	maps.DeleteFunc(out.Header, func(key string, _ []string) bool { return remove(key) })
	return &out
}

func anyKey[V any](m map[string]V, match func(key string) bool) bool {
	for key := range m {
		if match(key) {
			return true
		}
	}
	return false
}

// CloseIdleConnections closes the idle connections of the base, if it has a method
// CloseIdleConnections. All Transports that were made with a nil base share their
// connections.
func (t *Transport) CloseIdleConnections() {
	if t == nil || t.settings == nil {
		return
	}
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// defaultClones maps each value that http.DefaultTransport has had to its clone.
var defaultClones struct {
	sync.Mutex
	m map[*http.Transport]*http.Transport
}

// defaultBase returns the base to use if the user gives none.
func defaultBase() http.RoundTripper {
	original, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	defaultClones.Lock()
	defer defaultClones.Unlock()
	clone := defaultClones.m[original]
	if clone == nil {
		clone = original.Clone()
		clone.MaxIdleConnsPerHost = max(clone.MaxIdleConnsPerHost, 100)
		if defaultClones.m == nil {
			defaultClones.m = make(map[*http.Transport]*http.Transport)
		}
		defaultClones.m[original] = clone
	}
	return clone
}
