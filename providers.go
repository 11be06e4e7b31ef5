package portkey

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// providers are the base URLs that clients use for the providers that the
// gateway knows, and the gateway's names for them. A longer base URL goes before
// a shorter one of the same host.
var providers = []Upstream{
	{"https://api.openai.com/v1", "openai"},
}

// An Upstream is a provider's base URL, as clients use it, and what the gateway
// calls that provider.
type Upstream struct {
	// BaseURL is the URL in front of the endpoints ("https://llm.example.com/v1"),
	// with the host as clients write it. Requests under it go to the gateway:
	// <BaseURL>/chat/completions to <gateway>/chat/completions.
	BaseURL string
	// Provider is sent as x-portkey-provider if the request says neither a
	// provider nor a virtual key nor a config. "" sends none.
	Provider string
}

// An upstream is an Upstream, parsed.
type upstream struct {
	base     *url.URL
	provider line // its value may be ""
}

var knownUpstreams = func() []upstream {
	known := make([]upstream, len(providers))
	for i, p := range providers {
		base, fault := parseBaseURL(p.BaseURL)
		if fault != "" {
			panic("portkey: a base URL in providers.go " + fault)
		}
		known[i] = upstream{base, line{key: keyProvider, value: p.Provider}}
	}
	return known
}()

// byHost returns own and the known upstreams by their host, own first, and of
// those the longest first.
func byHost(own []upstream) map[string][]upstream {
	slices.SortStableFunc(own, func(a, b upstream) int { return len(b.base.Path) - len(a.base.Path) })
	hosts := make(map[string][]upstream)
	for _, u := range slices.Concat(own, knownUpstreams) {
		hosts[u.base.Host] = append(hosts[u.base.Host], u)
	}
	return hosts
}

// rest returns the part of u's path behind the upstream's base URL, plain and
// escaped, if u is under it. The host is compared already.
func (up *upstream) rest(u *url.URL) (path, raw string, ok bool) {
	if u.Scheme != up.base.Scheme || u.User != nil || u.Opaque != "" {
		return "", "", false
	}
	path, ok = strings.CutPrefix(u.Path, up.base.Path)
	if ok && u.RawPath != "" {
		raw, ok = strings.CutPrefix(u.RawPath, up.base.Path)
	}
	return path, raw, ok && (path == "" || path[0] == '/')
}

// parseBaseURL says why text cannot be a base URL, without repeating it: what is
// wrong with it may be that it holds a password.
func parseBaseURL(text string) (u *url.URL, fault string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "has no scheme http or https"
	case u.Hostname() == "":
		return nil, "has no host"
	case u.Port() != "" && !isPort(u.Port()):
		return nil, "has a port that is none"
	case u.User != nil:
		return nil, "has credentials in it"
	case u.RawQuery != "" || u.ForceQuery:
		return nil, "has a query"
	case strings.Contains(text, "#"):
		return nil, "has a fragment"
	case u.EscapedPath() != u.Path:
		return nil, "has an escaped character in its path"
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, ""
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && 1 <= n && n <= 65535
}
