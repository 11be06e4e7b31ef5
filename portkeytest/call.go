package portkeytest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portkey-go/portkey"
)

// A call is one request on its way through the gateway: the RoundTripper between
// the Gateway's server and its upstream.
type call struct {
	gateway *Gateway
	in      *http.Request
	body    []byte

	endpoint *endpoint            // nil: handed on as it is
	target   portkey.ConfigObject // the config, or what the headers say in its place
	params   map[string]any       // of a JSON body
}

// An ownAnswer is the gateway's own, as an error: it ends the call, whatever the
// config says.
type ownAnswer struct {
	status    int
	body      any // a string is text, nil nothing, all else JSON
	exception bool
}

func (a *ownAnswer) Error() string { return "portkeytest: the gateway's own answer" }

// A failure is the body of most of them.
type failure struct {
	Status  string   `json:"status"`
	Message string   `json:"message"`
	Errors  []string `json:"errors,omitempty"`
}

const wentWrong = "Something went wrong"

func fail(status int, message string, faults ...string) error {
	return &ownAnswer{status: status, body: failure{"failure", message, faults}}
}

func exception(message string) error {
	return &ownAnswer{http.StatusInternalServerError, failure{Status: "failure", Message: message}, true}
}

func (a *ownAnswer) response() (resp *http.Response) {
	switch body := a.body.(type) {
	case nil:
		resp = newResponse(a.status, "", "")
	case string:
		resp = newResponse(a.status, "text/plain; charset=UTF-8", body)
	default:
		resp = newResponse(a.status, "application/json", toJSON(body))
	}
	if a.exception {
		resp.Header.Set("X-Portkey-Gateway-Exception", "true")
	}
	return resp
}

// RoundTrip answers the request that the gateway received.
func (c *call) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := (*http.Response)(nil), c.read()
	if err == nil {
		resp, err = c.try(r.Context(), c.target, "config")
	}
	if own := (*ownAnswer)(nil); errors.As(err, &own) {
		return own.response(), nil
	}
	return resp, err
}

// try sends the call to a target, or to those of its targets that the strategy says.
func (c *call) try(ctx context.Context, t portkey.ConfigObject, index string) (*http.Response, error) {
	if t.Strategy == nil || len(t.Targets) == 0 {
		return c.send(ctx, t, index)
	}
	child := func(i int) (*http.Response, error) {
		next := t.Targets[i]
		next.Retry = cmp.Or(next.Retry, t.Retry)
		next.RequestTimeout = cmp.Or(next.RequestTimeout, t.RequestTimeout)
		return c.try(ctx, next, fmt.Sprintf("%s.targets[%d]", index, i))
	}
	switch t.Strategy.Mode {
	case "loadbalance":
		return child(draw(t.Targets))
	case "conditional":
		i, err := c.choose(t)
		if err != nil {
			return nil, err
		}
		return child(i)
	case "fallback":
		for i := range t.Targets {
			resp, err := child(i)
			if err != nil || i == len(t.Targets)-1 || !goesOn(t.Strategy, resp.StatusCode) {
				return resp, err
			}
			resp.Body.Close()
		}
	}
	return child(0) // mode single
}

// goesOn reports whether a fallback tries its next target.
func goesOn(s *portkey.Strategy, status int) bool {
	if s.OnStatusCodes != nil {
		return slices.Contains(s.OnStatusCodes, status)
	}
	return status < 200 || status > 299
}

// draw returns one of the targets, by their weights.
func draw(targets []portkey.ConfigObject) int {
	weight := func(t portkey.ConfigObject) float64 {
		if t.Weight == nil {
			return 1
		}
		return *t.Weight
	}
	var sum float64
	for _, t := range targets {
		sum += weight(t)
	}
	at := rand.Float64() * sum
	for i, t := range targets {
		if at -= weight(t); at < 0 {
			return i
		}
	}
	return len(targets) - 1
}

// provider is a target's. What Portkey would know may be any that has the endpoint.
func (c *call) provider(t portkey.ConfigObject) string {
	provider := cmp.Or(t.Provider, value(c.in.Header, "X-Portkey-Provider"), "openai")
	if t.VirtualKey != "" && provider == "openai" && c.endpoint != nil && !c.endpoint.of(provider) {
		return "anthropic"
	}
	return provider
}

// send calls a provider, again if the config says so, and adds the gateway's headers.
func (c *call) send(ctx context.Context, t portkey.ConfigObject, index string) (*http.Response, error) {
	provider := c.provider(t)
	switch e := c.endpoint; {
	case has(notThere, provider):
		return nil, exception("Provider " + provider + " not found")
	case e != nil && e.otherwise == refused && !e.of(provider):
		return nil, exception(e.name + " is not supported by " + provider)
	}

	attempts, again := 0, []int(nil)
	if t.Retry != nil && t.Retry.Attempts > 0 {
		attempts, again = min(t.Retry.Attempts, 5), []int{429, 500, 502, 503, 504}
		if t.Retry.OnStatusCodes != nil {
			again = t.Retry.OnStatusCodes
		}
	}
	for n := 0; ; n++ {
		f := c.gateway.nextFault()
		resp, err := c.attempt(ctx, t, provider, f)
		if err != nil {
			return nil, err
		}
		retries := n
		if slices.Contains(again, resp.StatusCode) {
			if n < attempts {
				resp.Body.Close()
				continue
			}
			retries = -1
		}
		f.spoil(resp)
		for key, value := range map[string]string{
			"X-Portkey-Cache-Status":           string(cmp.Or(f.CacheStatus, portkey.CacheDisabled)),
			"X-Portkey-Last-Used-Option-Index": index,
			"X-Portkey-Provider":               provider,
			"X-Portkey-Retry-Attempt-Count":    strconv.Itoa(cmp.Or(f.RetryAttempts, retries)),
			"X-Portkey-Trace-Id":               value(c.in.Header, "X-Portkey-Trace-Id"),
		} {
			if resp.Header.Get(key) == "" { // or the handler has said it
				resp.Header.Set(key, value)
			}
		}
		if f.Status == statusDenied { // which is decided before a cache is asked
			resp.Header.Del("X-Portkey-Cache-Status")
		}
		return resp, nil
	}
}

var errTimeout = errors.New("portkeytest: the request timeout is over")

// attempt calls the upstream once.
func (c *call) attempt(ctx context.Context, t portkey.ConfigObject, provider string, f Fault) (*http.Response, error) {
	// The timeout is for the head of the answer. The rest may take its time.
	ctx, cancel := context.WithCancelCause(ctx)
	ms, patience := c.timeout(t), time.Duration(math.MaxInt64)
	if ms > 0 {
		patience = time.Duration(ms * float64(time.Millisecond))
	}
	timer := time.AfterFunc(patience, func() { cancel(errTimeout) })
	defer timer.Stop()
	resp, err := f.strike(ctx)
	if resp == nil && err == nil {
		resp, err = c.forward(ctx, t, provider)
	}
	switch {
	case err == nil:
	case context.Cause(ctx) == errTimeout:
		return newResponse(http.StatusRequestTimeout, "application/json", toJSON(errorBody(http.StatusRequestTimeout,
			"Request exceeded the timeout sent in the request: "+strconv.FormatFloat(ms, 'f', -1, 64)+"ms"))), nil
	case ctx.Err() != nil, errors.As(err, new(*ownAnswer)), errors.Is(err, errReset):
		return nil, err
	default: // an upstream that hangs up is as good as one that fails
		resp = newResponse(http.StatusInternalServerError, "text/plain;charset=UTF-8",
			"Message: fetch failed Cause: SocketError: other side closed Name: TypeError")
	}
	if f.Malformed {
		malform(resp)
	}
	if f.Status == statusFailedChecks && resp.StatusCode == http.StatusOK {
		resp.StatusCode, resp.Status = f.Status, ""
	}
	if err := c.translate(resp, provider); err != nil {
		return nil, err
	}
	if resp.StatusCode == statusFailedChecks {
		addHookResults(resp)
	}
	return resp, nil
}

// timeout returns the request timeout in milliseconds; 0 is none.
func (c *call) timeout(t portkey.ConfigObject) float64 {
	ms, err := strconv.ParseFloat(value(c.in.Header, "X-Portkey-Request-Timeout"), 64)
	if err != nil || ms == 0 || math.IsNaN(ms) || math.IsInf(ms, 0) {
		ms = t.RequestTimeout
	}
	return ms
}

// forward sends the client's request to the upstream.
func (c *call) forward(ctx context.Context, t portkey.ConfigObject, provider string) (*http.Response, error) {
	rest := strings.TrimPrefix(c.in.URL.EscapedPath(), "/v1")
	if c.endpoint == nil {
		rest = strings.TrimPrefix(rest, "/proxy")
	}
	if rest == "" || c.endpoint != nil && !c.endpoint.of(provider) {
		rest = "/"
	}
	if c.in.URL.RawQuery != "" {
		rest += "?" + c.in.URL.RawQuery
	}
	method, body := c.in.Method, c.body
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if c.in.Header.Get("Content-Type") == "" {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, c.gateway.upstream.URL+rest, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = c.in.Header.Clone()
	req.Header.Del("Content-Length")
	req.Header.Set("X-Portkey-Provider", provider)
	if t.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+t.APIKey)
	}
	return c.gateway.client.Do(req)
}
