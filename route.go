package portkey

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode"

	"github.com/portkey-go/portkey/internal/providers"
)

// A fate is what happens to a request.
type fate int

const (
	toGateway             fate = iota // it goes to the gateway, with Portkey's headers
	passUnchanged                     // it goes to its own URL
	passWithoutPortkey                // it goes to its own URL, without x-portkey-* headers
	passWithoutCredential             // and without credentials
)

// removes reports whether a request with this fate does not carry the header.
func (f fate) removes(key string) bool {
	switch f {
	case passWithoutPortkey:
		return isPortkey(key)
	case passWithoutCredential:
		return isPortkey(key) || isCredential(key)
	}
	return false
}

// A route is where a request goes. All fields but fate are for toGateway.
type route struct {
	fate     fate
	url      url.URL // at the gateway
	endpoint string  // the part of the URL's path below the gateway's base URL
	rerouted bool    // whether the client asked for a provider's URL
	implied  providers.Implied
	traceID  string // of the previous hop, if this is a redirect
}

// route decides where req goes.
func (t *Transport) route(req *http.Request) (r route, err error) {
	if t == nil || t.settings == nil {
		return route{}, errors.New("portkey: this Transport was not made by NewTransport")
	}
	if req.URL == nil {
		return route{}, errors.New("portkey: the request has no URL")
	}
	isRedirect := req.Response != nil
	allAtGateway, anyAtGateway := t.redirectHistory(req)
	if t.filter != nil && !anyAtGateway && (isRedirect || !t.filter(req)) {
		if allAtGateway && t.gateway.receives(req) {
			return route{fate: passUnchanged}, nil
		}
		return route{fate: passWithoutPortkey}, nil
	}
	if allAtGateway && t.routeToGateway(req, &r) {
		if isRedirect {
			r.inheritFrom(req.Response.Request.Header)
		}
		return r, nil
	}
	if hasBody := req.Body != nil && req.Body != http.NoBody; !isRedirect || hasBody {
		return route{}, &RouteError{URL: redactURL(req.URL), Gateway: t.gateway.url.String(), Redirect: isRedirect}
	}
	return route{fate: passWithoutCredential}, nil
}

// redirectHistory reports whether all, and whether any, of the requests that led
// to req by a redirect were at the gateway. A request with x-portkey-* headers
// counts as one that was meant to be there. If the chain is broken or too long, it
// assumes that it left the gateway.
func (t *Transport) redirectHistory(req *http.Request) (allAtGateway, anyAtGateway bool) {
	const maxHops = 1000
	allAtGateway = true
	hop := req
	for range maxHops {
		if hop.Response == nil {
			return allAtGateway, anyAtGateway
		}
		if hop = hop.Response.Request; hop == nil || hop.URL == nil {
			break
		}
		atGateway := t.gateway.receives(hop)
		allAtGateway = allAtGateway && atGateway
		anyAtGateway = anyAtGateway || atGateway || anyKey(hop.Header, isPortkey)
	}
	return false, true
}

// routeToGateway sets the route of a request for the gateway or for a provider. It
// reports false for any other request.
func (t *Transport) routeToGateway(req *http.Request, r *route) bool {
	if t.gateway.receives(req) {
		r.url = *req.URL
	} else if u := t.relocated(req); u != nil {
		r.url = *u
	} else if req.Host != "" && req.Host != req.URL.Host {
		return false
	} else if r.endpoint, r.implied, r.rerouted = t.providers.Lookup(req.URL); r.rerouted {
		r.url = t.gateway.urlOf(req.URL, r.endpoint)
		return true
	} else {
		return false
	}
	r.endpoint = strings.TrimPrefix(r.url.Path, t.gateway.url.Path)
	return true
}

// relocated returns the URL at the gateway that a redirect leads to, if the client
// resolved it against the provider's URL that it asked for: a Location is relative
// to the URL that answered.
func (t *Transport) relocated(req *http.Request) *url.URL {
	if req.Response == nil {
		return nil
	}
	u, err := req.Response.Location()
	if err != nil || !t.gateway.has(u) || u.RequestURI() != req.URL.RequestURI() {
		return nil
	}
	return u
}

// inheritFrom takes over what the previous hop's header says and r does not imply,
// so that a redirect within the gateway stays the same call.
func (r *route) inheritFrom(h http.Header) {
	r.traceID = h.Get(keyTraceID)
	provider := h.Get(keyProvider)
	if r.implied.Provider != "" || provider == "" || checkValue(provider) != nil {
		return
	}
	r.implied.Provider = provider
	for _, key := range providers.ImpliedKeys() {
		if value := h.Get(key); value != "" {
			r.implied.Headers = append(r.implied.Headers, providers.Header{Key: key, Value: value})
		}
	}
}

// An origin is that of the gateway: a scheme, a host and an effective port.
type origin struct {
	url        *url.URL // the gateway's base URL
	host, port string
}

// gatewayOrigin returns the origin of the gateway at baseURL, or at the default
// if that is "".
func gatewayOrigin(baseURL string) (origin, error) {
	name, text := "BaseURL", baseURL
	if text == "" {
		name, text = "PORTKEY_BASE_URL", cmp.Or(os.Getenv("PORTKEY_BASE_URL"), DefaultBaseURL)
	}
	u, err := providers.ParseBaseURL(text)
	if err != nil {
		return origin{}, errors.New("portkey: " + name + " " + err.Error())
	}
	host, port := splitHostPort(u.Scheme, u.Host)
	return origin{u, host, port}, nil
}

// isHosted reports whether o is the gateway that Portkey hosts.
func (o *origin) isHosted() bool {
	hosted, _ := url.Parse(DefaultBaseURL)
	return o.has(hosted)
}

// receives reports whether req goes to this origin.
func (o *origin) receives(req *http.Request) bool {
	return o.has(req.URL) && (req.Host == "" || o.hasHost(req.Host))
}

// has reports whether u has this origin.
func (o *origin) has(u *url.URL) bool {
	sameScheme := u.Scheme == o.url.Scheme || toLowerASCII(u.Scheme) == o.url.Scheme
	return sameScheme && u.Opaque == "" && o.hasHost(u.Host)
}

// hasHost reports whether a host, with or without a port, is that of the origin.
func (o *origin) hasHost(host string) bool {
	if host == o.url.Host { // the usual case, without parsing
		return true
	}
	if len(host) < len(o.host) || !strings.Contains(toLowerASCII(host), o.host) { // another usual case
		return false
	}
	name, port := splitHostPort(o.url.Scheme, host)
	return name == o.host && port == o.port
}

// urlOf returns the URL of an endpoint, given as an escaped path, with the query of u.
func (o *origin) urlOf(u *url.URL, endpoint string) url.URL {
	at := *u
	at.Scheme, at.Host, at.Path, at.RawPath = o.url.Scheme, o.url.Host, o.url.Path+endpoint, ""
	if strings.Contains(endpoint, "%") {
		at.RawPath = at.Path
		at.Path, _ = url.PathUnescape(at.Path) // no error: u is parsed
	}
	return at
}

// splitHostPort splits host:port. The port defaults to that of the scheme.
func splitHostPort(scheme, hostport string) (host, port string) {
	u := url.URL{Host: hostport}
	port = u.Port()
	switch {
	case port != "":
	case scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return toLowerASCII(u.Hostname()), port
}

// toLowerASCII returns s in lower case if it is ASCII, and unchanged if not:
// strings.ToLower maps U+0130 to i, which would be another host.
func toLowerASCII(s string) string {
	for i := range len(s) {
		if s[i] > unicode.MaxASCII {
			return s
		}
	}
	return strings.ToLower(s)
}

// A RouteError reports a request that was not sent: its URL is neither the
// gateway's nor part of a known provider's API, or a redirect would have carried
// its body away from the gateway.
type RouteError struct {
	URL      string // of the request, without query and credentials
	Gateway  string // the gateway's base URL
	Redirect bool   // whether the request is a redirect
}

// Error names both URLs.
func (e *RouteError) Error() string {
	if e.Redirect {
		return "portkey: refused a redirect that would carry the request body to " + e.URL +
			", away from the gateway " + e.Gateway
	}
	return "portkey: " + e.URL + " is neither at the gateway " + e.Gateway +
		" nor part of a known provider's API: see Options.BaseURL, Upstreams and Filter"
}

// redactURL returns u without query, fragment and credentials.
func redactURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
