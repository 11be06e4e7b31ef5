package portkey

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/portkey-go/portkey/internal/configcheck"
	"github.com/portkey-go/portkey/internal/providers"
)

// An action is what the Transport does with a request.
type action int

const (
	toGateway          action = iota // send it to the gateway, with Portkey's headers
	passUnchanged                    // send it to its own URL
	passWithoutPortkey               // send it to its own URL, without x-portkey-* headers
	passBare                         // send it to its own URL, only with headers that cannot be secret
)

// removes reports whether a removes the header with the given key.
func (a action) removes(key string) bool {
	switch a {
	case passWithoutPortkey:
		return resemblesPortkey(key)
	case passBare:
		return !isHarmless(key)
	}
	return false
}

// isHarmless reports whether a header may be sent after a redirect has left the
// gateway. Any other header may be a credential.
func isHarmless(key string) bool {
	key = http.CanonicalHeaderKey(key)
	switch key {
	case "Accept", "Cache-Control", "Content-Type", "Range", "User-Agent":
		return true
	}
	return strings.HasPrefix(key, "Accept-") || strings.HasPrefix(key, "If-")
}

// A route is where a request goes. If action is not toGateway, the other fields are
// zero.
type route struct {
	action   action
	url      url.URL // at the gateway
	endpoint string  // the part of the URL's path below the gateway's base URL
	rerouted bool    // whether the client requested a provider's URL
	implied  providers.Implied
	traceID  string // of the previous hop, if this is a redirect

	// first is the first request of a chain of redirects that leads to a provider's URL.
	first *http.Request

	// redirected are the credentials that the client sent before a redirect within the
	// gateway, and that net/http removed. If the request before the redirect was sent
	// without the client's credential, credentialOmitted is true.
	redirected        credentials
	credentialOmitted bool

	mayFailOpen bool // whether Options.FailOpen may be asked
}

// route decides where req goes.
func (t *Transport) route(req *http.Request) (r route, err error) {
	if t == nil || t.settings == nil {
		return route{}, errors.New("portkey: this Transport was not made by NewTransport")
	}
	if req.URL == nil {
		return route{}, errors.New("portkey: the request has no URL")
	}
	if req.Response != nil {
		return t.routeRedirect(req)
	}
	switch {
	case t.excludes(req):
		if t.gateway.receives(req) && !t.ignoreRequestHeaders {
			return route{action: passUnchanged}, nil
		}
		return route{action: passWithoutPortkey}, nil
	case t.routeToGateway(req, &r):
		return r, nil
	case t.passUnknownHosts && !t.mayReachProvider(req) && !t.gateway.resembles(req):
		return route{action: passWithoutPortkey}, nil
	}
	return route{}, t.refuse(req, t.explain(req))
}

// excludes reports whether Options.Filter excludes a request.
func (t *Transport) excludes(req *http.Request) bool { return t.filter != nil && !t.filter(req) }

// mayReachProvider reports whether a request that does not go to the gateway may be part
// of a provider's API, by its URL or its Host header. An opaque URL, or a path without a
// slash, may be that of another host.
func (t *Transport) mayReachProvider(req *http.Request) bool {
	if req.URL.Opaque != "" || !hasRootedPath(req.URL) {
		return true
	}
	otherHost := req.Host != "" && req.Host != req.URL.Host
	return t.providers.MayContain(req.URL) || otherHost && t.providers.HasHost(req.Host)
}

// passedOn reports whether the Transport certainly passed on a request that follows no
// redirect. A RoundTripper outside may have changed the path before, so that no host of
// a provider is certain.
func (t *Transport) passedOn(req *http.Request) bool {
	isUnknown := !t.gateway.receives(req) && !t.gateway.resembles(req) &&
		!t.providers.HasHost(req.URL.Host) && !t.providers.HasHost(req.Host)
	return t.excludes(req) || t.passUnknownHosts && isUnknown
}

// routeRedirect decides where req goes, which follows a redirect.
func (t *Transport) routeRedirect(req *http.Request) (r route, err error) {
	h := t.redirectHistory(req)
	switch {
	case h.tooLong:
		return route{}, t.refuse(req, "the chain of redirects is too long")
	case h.passedOn:
		if (t.mayReachProvider(req) || t.gateway.resembles(req)) && !t.excludes(req) {
			return route{}, t.refuse(req, aroundGateway)
		}
		return route{action: passWithoutPortkey}, nil
	case h.allAtGateway && t.routeToGateway(req, &r):
		if t.ignoreRequestHeaders {
			return route{}, t.refuse(req, "with Options.IgnoreRequestHeaders, redirects of the gateway are not followed")
		}
		t.inherit(req, &r)
		return r, nil
	case hasBody(req):
		return route{}, t.refuse(req, "it would carry the request body away from the gateway")
	case t.providers.HasHost(req.URL.Host) || t.providers.HasHost(req.Host):
		return route{}, t.refuse(req, aroundGateway)
	}
	return route{action: passBare}, nil
}

const aroundGateway = "it would go to a provider around the gateway"

// refuse returns an error for a request that is not sent.
func (t *Transport) refuse(req *http.Request, reason string) error {
	return &RouteError{
		URL:      redactURL(req.URL),
		Gateway:  t.gateway.url.String(),
		Reason:   reason,
		Redirect: req.Response != nil,
	}
}

// explain returns why req goes neither to the gateway nor to a provider.
func (t *Transport) explain(req *http.Request) string {
	if !t.hasOwnHost(req) {
		return "its Host header is not the host of its URL: clear Request.Host " +
			"(in a ReverseProxy, use Rewrite with ProxyRequest.SetURL)"
	}
	if req.URL.Opaque != "" || !hasRootedPath(req.URL) {
		return "its URL is opaque, or its path does not begin with a slash"
	}
	if t.gateway.resembles(req) {
		return "its scheme, the spelling of its host or the start of its path is not that of the gateway's base URL"
	}
	return t.providers.Explain(req.URL)
}

// A history is what is known of the requests that led to a redirect.
type history struct {
	allAtGateway bool // each of them was at the gateway
	passedOn     bool // the Transport passed on the first one, and none was at the gateway
	tooLong      bool
}

// redirectHistory returns the history of req. A broken chain has left the gateway.
//
// A request was at the gateway if its URL is the gateway's, or if the Transport would
// route it there: a RoundTripper outside the Transport may have set Response.Request to
// the request of the client. With Options.FailOpen, such a request may have been sent to its
// provider instead. One with x-portkey-* headers was meant to be there, and
// the base took it elsewhere.
func (t *Transport) redirectHistory(req *http.Request) history {
	const maxHops = 1000
	all, any := true, false
	hop := req
	for range maxHops {
		if hop.Response == nil {
			return history{allAtGateway: all, passedOn: !any && t.passedOn(hop)}
		}
		if hop = hop.Response.Request; hop == nil || hop.URL == nil {
			return history{}
		}
		atGateway := t.gateway.receives(hop) || t.failOpen == nil && t.isProviders(hop) && !t.excludes(hop)
		all = all && atGateway
		any = any || atGateway || anyKey(hop.Header, isPortkey)
	}
	return history{tooLong: true}
}

// isProviders reports whether req, as the client made it, is part of a provider's API.
func (t *Transport) isProviders(req *http.Request) bool {
	_, _, ok := t.providers.Lookup(req.URL)
	return ok && t.hasOwnHost(req)
}

// hasOwnHost reports whether the Host header of req is the host of its URL.
func (t *Transport) hasOwnHost(req *http.Request) bool {
	scheme := req.URL.Scheme
	return req.Host == "" || req.Host == req.URL.Host ||
		providers.Host(scheme, req.Host) == providers.Host(scheme, req.URL.Host)
}

// routeToGateway sets *r to the route of a request for the gateway or for a provider.
// It returns false for any other request.
func (t *Transport) routeToGateway(req *http.Request, r *route) bool {
	if t.gateway.receives(req) {
		r.url = *req.URL
	} else if u := t.relativeRedirect(req); u != nil {
		r.url = *u
	} else {
		if !t.hasOwnHost(req) {
			return false
		}
		r.endpoint, r.implied, r.rerouted = t.providers.Lookup(req.URL)
		if r.rerouted {
			r.url = t.gateway.endpointURL(req.URL, r.endpoint)
		}
		return r.rerouted
	}
	r.endpoint = strings.TrimPrefix(r.url.Path, t.gateway.url.Path)
	return true
}

// relativeRedirect returns the URL at the gateway that a relative Location leads to,
// or nil if req is not such a redirect. The http.Client has resolved the Location
// against the provider's URL that it requested; it is relative to the URL at the
// gateway that the Transport requested.
func (t *Transport) relativeRedirect(req *http.Request) *url.URL {
	if req.Response == nil || !t.providers.HasHost(req.URL.Host) {
		return nil
	}
	previous := req.Response.Request
	if previous == nil || previous.URL == nil {
		return nil
	}
	at := *previous.URL
	if !t.gateway.receives(previous) {
		endpoint, _, ok := t.providers.Lookup(previous.URL)
		if !ok {
			return nil
		}
		at = t.gateway.endpointURL(previous.URL, endpoint)
	}
	u, err := at.Parse(req.Response.Header.Get("Location"))
	if err != nil || !t.gateway.sameOrigin(u) || u.RequestURI() != req.URL.RequestURI() {
		return nil
	}
	return u
}

// inherit adds to the route of req, which is a redirect within the gateway, what makes it
// the same call as before: the trace ID, what the URL of the first request implied, and
// its credentials. net/http removes those if the client asked for a provider and is
// redirected to the gateway's host.
func (t *Transport) inherit(req *http.Request, r *route) {
	hasCredential, wasRerouted := anyKey(req.Header, isCredential), r.rerouted
	hop := req
	for hop.Response != nil {
		hop = hop.Response.Request
		if r.implied.Provider == "" && !wasRerouted {
			r.implied = t.impliedBy(hop)
			r.rerouted = r.implied.Provider != "" && !t.gateway.receives(hop)
		}
		r.traceID = cmp.Or(r.traceID, hop.Header.Get(keyTraceID))
		for i, key := range credentialKeys {
			if !hasCredential {
				r.redirected[i] = cmp.Or(r.redirected[i], hop.Header.Get(key))
			}
		}
	}
	hadCredential := anyKey(hop.Header, isCredential) || hop.Header.Get(keyAzureToken) != "" ||
		slices.ContainsFunc(providers.QueryKeys(), hop.URL.Query().Has)
	r.credentialOmitted = t.gateway.receives(hop) && !hadCredential
	if wasRerouted {
		r.first = hop
	}
}

// isCredential reports whether clients send a provider's credential in the header.
func isCredential(key string) bool { return credentialIndex(http.CanonicalHeaderKey(key)) >= 0 }

// leadsElsewhere reports whether a redirect to a provider's URL makes the gateway call
// another provider, or another host, than for the first request. The credential is not
// for that. b has built the header of the redirected request.
func (t *Transport) leadsElsewhere(r *route, b *headerBuilder, c *call) bool {
	var route route
	if !t.routeToGateway(r.first, &route) {
		return true
	}
	first := headerBuilder{settings: t.settings, isRedirect: true}
	if err := first.addParameters(r.first.Header, c, &route); err != nil || first.get(keyProvider) != b.get(keyProvider) ||
		first.portkeyHasCredential && !b.portkeyHasCredential {
		return true
	}
	return slices.ContainsFunc(providers.ImpliedKeys(), func(key string) bool {
		isTarget := key != keyAzureToken && key != keyAzureVersion && key != keyAzureDeployment
		return isTarget && first.get(key) != b.get(key)
	})
}

// impliedBy returns what the URL of an earlier request implied: according to its
// header, if the Transport has sent it to the gateway, or else its URL.
func (t *Transport) impliedBy(hop *http.Request) (implied providers.Implied) {
	if !t.gateway.receives(hop) {
		_, implied, _ = t.providers.Lookup(hop.URL)
		return implied
	}
	provider := hop.Header.Get(keyProvider)
	if provider == "" || checkValue(provider) != nil {
		return providers.Implied{}
	}
	implied.Provider = provider
	for _, key := range providers.ImpliedKeys() {
		if value := hop.Header.Get(key); value != "" {
			implied.Headers = append(implied.Headers, providers.Header{Key: key, Value: value})
		}
	}
	return implied
}

// A gateway is the base URL of the gateway. Its scheme, host and port are the origin
// that Portkey headers never leave.
type gateway struct {
	url  *url.URL // as providers.ParseBaseURL returns it
	host string   // as providers.Host returns it
}

// newGateway returns the gateway at baseURL. If that is "", it returns the gateway at
// $PORTKEY_BASE_URL, or else at DefaultBaseURL. An empty path means /v1.
func newGateway(baseURL string) (gateway, error) {
	name, text := "BaseURL", baseURL
	if text == "" {
		name, text = "PORTKEY_BASE_URL", cmp.Or(os.Getenv("PORTKEY_BASE_URL"), DefaultBaseURL)
	}
	u, err := providers.ParseBaseURL(text)
	if err != nil {
		return gateway{}, errors.New("portkey: " + name + " " + err.Error())
	}
	if u.Path == "" {
		u.Path = "/v1"
	}
	return gateway{u, providers.Host(u.Scheme, u.Host)}, nil
}

// isHosted reports whether g has the origin of the gateway that Portkey hosts.
func (g *gateway) isHosted() bool {
	hosted, _ := url.Parse(DefaultBaseURL)
	return g.sameOrigin(hosted)
}

// receives reports whether req goes to the origin of g, by its URL and its Host. For an HTTP
// proxy, net/http would append a path without a slash to the host.
func (g *gateway) receives(req *http.Request) bool {
	return g.sameOrigin(req.URL) && hasRootedPath(req.URL) && (req.Host == "" || g.sameHost(req.Host))
}

func hasRootedPath(u *url.URL) bool {
	path := u.Path
	if u.RawPath != "" {
		path = u.EscapedPath()
	}
	return path == "" || path[0] == '/'
}

// resembles reports whether req may reach the host of g by another scheme or spelling
// than its origin has.
func (g *gateway) resembles(req *http.Request) bool {
	host := providers.DialedHost(g.host)
	return !g.receives(req) && (providers.DialedHost(req.URL.Host) == host || providers.DialedHost(req.Host) == host)
}

// sameOrigin reports whether u has the origin of g.
func (g *gateway) sameOrigin(u *url.URL) bool {
	sameScheme := u.Scheme == g.url.Scheme || strings.EqualFold(u.Scheme, g.url.Scheme)
	return sameScheme && u.Opaque == "" && g.sameHost(u.Host)
}

// sameHost reports whether host, with or without a port, has the host and port of g.
func (g *gateway) sameHost(host string) bool {
	return host == g.url.Host || len(host) >= len(g.host) && providers.Host(g.url.Scheme, host) == g.host
}

// endpointURL returns the URL of endpoint, an escaped path below the base URL of g. The
// query and everything else is that of u.
func (g *gateway) endpointURL(u *url.URL, endpoint string) url.URL {
	out := *u
	out.Scheme, out.Host, out.Path, out.RawPath = g.url.Scheme, g.url.Host, g.url.Path+endpoint, ""
	if strings.Contains(endpoint, "%") {
		out.RawPath = out.Path
		out.Path, _ = url.PathUnescape(out.Path) // no error: endpoint is part of a parsed URL
	}
	return out
}

// misleadsGateway reports whether the open-source gateway would call another host or path
// than the client asked for (see TestPathsThatMisleadTheGatewayAreRefused in interop/):
//
//   - It resolves dot segments, and decodes escapes only where it looks for an endpoint.
//   - It removes /v1/proxy from a path, also from /v1/proxy.evil.example.
//   - It takes the path of an Azure request for a host if it contains .openai.azure.com.
//   - It takes the ID of a file at Bedrock, or all that follows, for the start of a host.
func (b *headerBuilder) misleadsGateway(u *url.URL) bool {
	path := u.EscapedPath()
	if providers.HasDotSegment(u.Path) || providers.HasEscapedLetter(path) ||
		strings.Contains(path, "/v1/proxy") || strings.Contains(path, ".openai.azure.com") {
		return true
	}
	_, fileID, isFile := strings.Cut(path, "/files/")
	if !isFile {
		return false
	}
	provider := b.get(keyProvider)
	_, isKnown := providers.Find(provider)
	mayBeBedrock := provider == "bedrock" || !isKnown || b.has(keyConfig) || b.has(keyVirtualKey)
	isFileID := strings.Trim(fileID, fileIDChars) == "" && u.RawQuery == "" && !u.ForceQuery
	return mayBeBedrock && (provider == "bedrock" || !isFileID)
}

const fileIDChars = "/-_.:0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// hasIgnoredCustomHost reports whether there is a custom host, in a header or in the
// config, that the gateway ignores.
func (b *headerBuilder) hasIgnoredCustomHost(endpoint string) bool {
	if !providers.IgnoresCustomHost("", endpoint) { // usually true
		return false
	}
	named, hasCustomHost := configcheck.Providers(b.get(keyConfig))
	named = append(named, b.get(keyProvider))
	return (hasCustomHost || b.has(keyCustomHost)) &&
		slices.ContainsFunc(named, func(provider string) bool { return providers.IgnoresCustomHost(provider, endpoint) })
}

// A RouteError reports a request that was not sent: it is neither for the gateway nor
// for a known provider, or it follows a redirect that leaves the gateway.
type RouteError struct {
	URL      string // of the request, without query and credentials
	Gateway  string // the gateway's base URL
	Reason   string // why the request was not sent, and how to mend it
	Redirect bool   // whether the request follows a redirect
}

// Error names both URLs and the reason.
func (e *RouteError) Error() string {
	what := "request to "
	if e.Redirect {
		what = "redirect to "
	}
	return "portkey: refused a " + what + e.URL + " instead of the gateway " + e.Gateway + ": " + e.Reason
}

// redactURL returns u without query, fragment and credentials.
func redactURL(u *url.URL) string {
	host := u.Host[strings.LastIndexByte(u.Host, '@')+1:] // of a URL that was made by hand
	return (&url.URL{Scheme: u.Scheme, Host: host, Path: u.Path, RawPath: u.RawPath}).String()
}
