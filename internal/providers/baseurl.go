package providers

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// ParseBaseURL parses a base URL and removes slashes at its end. The error does
// not contain the URL, which may hold a password.
func ParseBaseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must start with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.Port() != "" && !isPort(u.Port()):
		return nil, errors.New("has an invalid port")
	case u.User != nil:
		return nil, errors.New("must not contain credentials")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("must not have a query")
	case strings.Contains(text, "#"):
		return nil, errors.New("must not have a fragment")
	case u.EscapedPath() != u.Path:
		return nil, errors.New("must not have an escaped character in its path")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && 1 <= n && n <= 65535
}

// Host returns the canonical form of a host, with or without a port: in lower case,
// and without the default port of the scheme. It leaves a host that is not ASCII
// unchanged: strings.ToLower maps U+0130 to i, which would be another host.
func Host(scheme, host string) string {
	canonical := true
	for i := range len(host) {
		switch c := host[i]; {
		case c > unicode.MaxASCII:
			return host
		case c == ':' || 'A' <= c && c <= 'Z':
			canonical = false
		}
	}
	if canonical { // the usual case, without parsing
		return host
	}
	u := url.URL{Host: strings.ToLower(host)}
	switch port := u.Port(); {
	case port == "" && strings.HasSuffix(u.Host, ":"):
	case port == "443" && scheme == "https":
	case port == "80" && scheme == "http":
	default:
		return u.Host
	}
	return u.Host[:strings.LastIndexByte(u.Host, ':')]
}
