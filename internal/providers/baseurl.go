package providers

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
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
