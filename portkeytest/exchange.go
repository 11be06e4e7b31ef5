package portkeytest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
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

// An exchange handles one client request: it validates the request, follows its config and calls the upstream. It is
// the http.RoundTripper of the ReverseProxy that serves the request.
//
// TestPortkeytestAnswersAsTheGatewayDoes in interop/ sends the same requests to the real gateway and compares the
// responses. It shows the behaviour of the gateway that comments in this package describe, unless noted otherwise.
type exchange struct {
	gateway *Gateway
	req     *http.Request // as received from the client
	body    []byte

	// Set by parse:

	isPortkeyAPI bool      // Portkey itself answers; the other fields are not set
	endpoint     *endpoint // nil if the request is proxied
	config       target    // from x-portkey-config, or from x-portkey-virtual-key
	hasJSONBody  bool
	params       params // of the JSON body; nil if it is not an object
}

// A call is the request that the gateway sends to a target's provider.
type call struct {
	target   target
	provider string
	params   params // of the JSON body; nil if it is not an object
	body     []byte
}

// RoundTrip returns the gateway's response. An error closes the client's connection. The parameter provides only the
// context: the client's request is x.req.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := x.respond(r.Context())
	var generated *gatewayResponse
	if errors.As(err, &generated) {
		return generated.response(), nil
	}
	return resp, err
}

func (x *exchange) respond(ctx context.Context) (*http.Response, error) {
	if err := x.parse(); err != nil {
		return nil, err
	}
	if x.isPortkeyAPI {
		return x.callPortkey(ctx)
	}
	return x.route(ctx, x.config, "config")
}

// route sends the request to a target or, if the target has a strategy, to those of its targets that the strategy
// selects. optionPath is the target's place in the config, such as config.targets[1].
func (x *exchange) route(ctx context.Context, t target, optionPath string) (*http.Response, error) {
	if t.Strategy == nil || len(t.Targets) == 0 {
		return x.sendWithRetries(ctx, t, optionPath)
	}
	routeTo := func(i int) (*http.Response, error) {
		return x.route(ctx, t.Targets[i].inherit(t), fmt.Sprintf("%s.targets[%d]", optionPath, i))
	}
	switch t.Strategy.Mode {
	case portkey.ModeLoadBalance:
		return routeTo(pickByWeight(t.Targets))
	case portkey.ModeConditional:
		i, err := x.conditionalTarget(t)
		if err != nil {
			return nil, err
		}
		return routeTo(i)
	case portkey.ModeFallback:
		for i := range t.Targets {
			resp, err := routeTo(i)
			if err != nil || i == len(t.Targets)-1 || !shouldFallBack(t.Strategy, resp.StatusCode) {
				return resp, err
			}
			resp.Body.Close()
		}
	}
	return routeTo(0) // mode single
}

// shouldFallBack reports whether a response with this status makes a fallback try its next target.
func shouldFallBack(strategy *strategy, status int) bool {
	if strategy.OnStatusCodes != nil {
		return slices.Contains(strategy.OnStatusCodes, status)
	}
	return status < 200 || status > 299
}

// pickByWeight returns the index of a random target, with a probability proportional to its weight. The default weight
// is 1.
func pickByWeight(targets []target) int {
	weight := func(t target) float64 {
		if t.Weight == nil {
			return 1
		}
		return *t.Weight
	}
	var total float64
	for _, target := range targets {
		total += weight(target)
	}
	remaining := rand.Float64() * total
	for i, target := range targets {
		remaining -= weight(target)
		if remaining < 0 {
			return i
		}
	}
	return len(targets) - 1
}

// newCall returns the call to a target's provider. The provider is named, in order of precedence, by the target, by the
// model "@slug/model" in its override_params, by the x-portkey-provider header or by the model in the request. The one
// behind a virtual key or config slug is unknown: it is openai, or anthropic on the endpoints that openai does not
// support.
func (x *exchange) newCall(t target) *call {
	c := &call{target: t, provider: t.Provider, params: x.params, body: x.body}
	isChanged := t.changesParams() && x.params != nil
	if isChanged {
		c.params = t.changeParams(x.params)
	}
	headerProvider := headerValue(x.req.Header, "X-Portkey-Provider")
	if c.provider == "" && (headerProvider == "" || t.OverrideParams["model"] != nil) {
		model := cmp.Or(c.params.model(), x.requestModel()) // the latter for a form
		if provider, name, ok := savedModel(model); ok {
			c.provider = provider
			if c.params != nil {
				c.params = merge(c.params, params{"model": json.RawMessage(toJSON(name))})
				isChanged = true
			}
		}
	}
	c.provider = cmp.Or(c.provider, headerProvider, "openai")
	if t.VirtualKey != "" && c.provider == "openai" && x.endpoint != nil && !x.endpoint.supportedBy(c.provider) {
		c.provider = "anthropic"
	}
	if isChanged {
		c.body = []byte(toJSON(c.params))
	}
	return c
}

// sendWithRetries calls the target's provider, retries as the target says, and adds the gateway's response headers.
func (x *exchange) sendWithRetries(ctx context.Context, t target, optionPath string) (*http.Response, error) {
	c := x.newCall(t)
	if inList(c.provider, unimplementedProviders) {
		return nil, gatewayException("Provider " + c.provider + " not found")
	}
	if e := x.endpoint; e != nil && e.ifUnsupported == rejectRequest && !e.supportedBy(c.provider) {
		return nil, gatewayException(e.name + " is not supported by " + c.provider)
	}

	maxRetries, retryStatuses := t.Retry.limits()
	for retries := 0; ; retries++ {
		fault := x.gateway.nextFault()
		resp, err := x.callProvider(ctx, c, fault)
		if err != nil {
			return nil, err
		}
		retryCount := retries
		if slices.Contains(retryStatuses, resp.StatusCode) {
			if retries < maxRetries {
				resp.Body.Close()
				continue
			}
			retryCount = -1 // all retries failed
		}
		x.alterResponse(resp, fault)
		addDefaultHeaders(resp.Header, map[string]string{
			"X-Portkey-Cache-Status":           string(cmp.Or(fault.CacheStatus, portkey.CacheDisabled)),
			"X-Portkey-Last-Used-Option-Index": optionPath,
			"X-Portkey-Provider":               c.provider,
			"X-Portkey-Retry-Attempt-Count":    strconv.Itoa(cmp.Or(fault.RetryAttempts, retryCount)),
			"X-Portkey-Trace-Id":               headerValue(x.req.Header, "X-Portkey-Trace-Id"),
		})
		if fault.Status == statusGuardrailDenied && fault.guardrail() == InputGuardrail {
			resp.Header.Del("X-Portkey-Cache-Status") // the gateway runs guardrails before it looks into the cache
		}
		return resp, nil
	}
}

// gatewayMaxRetries caps the retries that a config can ask for.
const gatewayMaxRetries = 5

// limits returns the maximum number of retries and the response statuses that are retried.
func (r *retryPolicy) limits() (maxRetries int, statuses []int) {
	if r == nil || r.Attempts <= 0 {
		return 0, nil
	}
	maxRetries = min(r.Attempts, gatewayMaxRetries)
	if r.OnStatusCodes != nil {
		return maxRetries, r.OnStatusCodes
	}
	return maxRetries, []int{429, 500, 502, 503, 504}
}

// addDefaultHeaders adds headers, unless the response already has them. An empty value is sent as well: the gateway
// returns an empty trace ID for a request without one.
func addDefaultHeaders(h http.Header, defaults map[string]string) {
	for key, value := range defaults {
		if h.Get(key) == "" {
			h.Set(key, value)
		}
	}
}

var errRequestTimeout = errors.New("portkeytest: the request timeout has expired")

// callProvider makes one call to a provider. The fault can replace the call or change its response.
//
// The request timeout ends when the response headers arrive: the gateway lets a stream run for longer. No test in
// interop/ shows that yet.
func (x *exchange) callProvider(ctx context.Context, c *call, fault Fault) (*http.Response, error) {
	timeoutMS := x.requestTimeoutMS(c.target)
	if timeoutMS > 0 {
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		timeout := time.Duration(timeoutMS * float64(time.Millisecond))
		timer := time.AfterFunc(timeout, func() { cancel(errRequestTimeout) })
		defer timer.Stop()
	}
	resp, err := fault.injectBefore(ctx)
	if resp == nil && err == nil {
		resp, err = x.callUpstream(ctx, c)
	}
	switch {
	case err == nil:
	case context.Cause(ctx) == errRequestTimeout:
		message := fmt.Sprintf("Request exceeded the timeout sent in the request: %sms",
			strconv.FormatFloat(timeoutMS, 'f', -1, 64))
		return newErrorResponse(http.StatusRequestTimeout, message), nil
	case ctx.Err() != nil, errors.As(err, new(*gatewayResponse)), errors.Is(err, errReset):
		return nil, err
	default:
		// The gateway turns a failed connection to the provider into a provider's response with status 500.
		resp = newResponse(http.StatusInternalServerError, "text/plain;charset=UTF-8",
			"Message: fetch failed Cause: SocketError: other side closed Name: TypeError")
	}
	if fault.Malformed {
		breakJSON(resp)
	}
	if err := x.translateResponse(resp, c); err != nil {
		return nil, err
	}
	return x.applyGuardrail(resp, c, fault), nil
}

// requestTimeoutMS returns the request timeout in milliseconds; 0 or less means none. The header takes precedence over
// the config. The gateway ignores a header that is not a number.
func (x *exchange) requestTimeoutMS(t target) float64 {
	ms, err := strconv.ParseFloat(headerValue(x.req.Header, "X-Portkey-Request-Timeout"), 64)
	if err != nil || ms == 0 || math.IsNaN(ms) || math.IsInf(ms, 0) {
		return t.RequestTimeout
	}
	return ms
}

// callUpstream sends the call to the upstream.
func (x *exchange) callUpstream(ctx context.Context, c *call) (*http.Response, error) {
	path := strings.TrimPrefix(x.req.URL.EscapedPath(), "/v1")
	if x.endpoint == nil {
		path = strings.TrimPrefix(path, "/proxy")
	}
	// A path that does not begin with a slash could name another host.
	if !strings.HasPrefix(path, "/") || x.endpoint != nil && !x.endpoint.supportedBy(c.provider) {
		path = "/"
	}
	url := x.gateway.upstream.URL + path
	if x.req.URL.RawQuery != "" {
		url += "?" + x.req.URL.RawQuery
	}
	method, body := x.req.Method, c.body
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if x.req.Header.Get("Content-Type") == "" {
		body = nil // the gateway drops a body without a Content-Type
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = x.req.Header.Clone()
	req.Header.Del("Content-Length")
	if c.provider != "" {
		req.Header.Set("X-Portkey-Provider", c.provider)
	}
	// On endpoints that the gateway proxies, the client's credential replaces the config's
	// (see TestNoClientCredentialWithAConfigOfTargets in interop).
	if c.target.APIKey != "" && (x.endpoint != nil || req.Header.Get("Authorization") == "") {
		req.Header.Set("Authorization", "Bearer "+c.target.APIKey)
	}
	return x.gateway.caller.Do(req)
}
