package portkey

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// NewRetryTransport returns a base for [NewTransport] that retries failed calls. A nil
// base means the same as for NewTransport.
//
// A call makes up to three attempts, all with the same trace ID. [RetryPolicy] decides
// whether to retry, and [RetryBackoff] how long to wait: 500ms to 8s. If all attempts
// fail, the caller gets the last response, or the last error, unchanged. If the context
// ends while the call waits for its next attempt, the caller gets the context's error:
// the earlier response is closed by then. The caller may change Client and its fields
// before the first request. Client.Logger is nil; a *slog.Logger can be used. Its lines
// contain the URL of the attempt, including the query, but no headers. Some clients send
// an API key in the query.
//
// A POST whose connection broke is sent again, even though the provider may have
// processed the first attempt: an LLM call may be billed twice. If an SDK retries as
// well, the attempts multiply: disable one of them. A stream is not retried after its
// response has begun.
//
// A *retryablehttp.RoundTripper that is given to [NewTransport] or [WrapClient]
// directly, and not inside another RoundTripper, is used in a way that suits a
// RoundTripper:
//
//   - A body is replayed by Request.GetBody and not buffered. Without GetBody there is
//     one attempt.
//   - Redirects are returned.
//   - Before a retry, at most 4 KiB of the response are read, for at most 100ms, so that
//     a short response leaves its connection open. Then the response is closed.
//   - A failed call does not close the idle connections, which other calls share.
//   - A nil CheckRetry, Backoff or ErrorHandler means [RetryPolicy], [RetryBackoff] or
//     retryablehttp.PassthroughErrorHandler.
func NewRetryTransport(base http.RoundTripper) *retryablehttp.RoundTripper {
	if base == nil {
		base = defaultBase()
	}
	return &retryablehttp.RoundTripper{Client: &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: base, CheckRedirect: returnRedirect},
		RetryMax:     2,
		RetryWaitMin: 500 * time.Millisecond,
		RetryWaitMax: 8 * time.Second,
		CheckRetry:   RetryPolicy,
		Backoff:      RetryBackoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}}
}

// RetryPolicy is a retryablehttp.CheckRetry. It does not retry after ctx has ended.
// It retries
//
//   - errors of the connection: refused, reset, timed out, closed. It does not retry
//     errors that would occur again: any failure of TLS, a header or URL that cannot be
//     sent, a [*HeaderError], a [*RouteError].
//   - status 408, 429, and 5xx except 501. A response header x-should-retry ("true" or
//     "false") overrides this for any error status.
//
// A response with a header x-portkey-trace-id, x-portkey-request-id or
// x-portkey-gateway-exception, even an empty one, is not retried: the gateway has
// already handled the call, with the retries and fallbacks of its config.
//
// RetryPolicy returns no error, so that the caller gets the last response or error.
func RetryPolicy(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		retry, _ := retryablehttp.DefaultRetryPolicy(ctx, nil, err)
		return retry && !isPermanent(err), nil
	}
	if resp == nil || resp.StatusCode < 400 || anyKey(resp.Header, isGatewayHeader) {
		return false, nil
	}
	switch resp.Header.Get("X-Should-Retry") {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true, nil
	case http.StatusNotImplemented:
		return false, nil
	}
	return resp.StatusCode >= 500, nil
}

// isGatewayHeader reports whether a response header shows that the gateway has handled
// the call.
func isGatewayHeader(key string) bool {
	switch http.CanonicalHeaderKey(key) {
	case keyTraceID, "X-Portkey-Request-Id", "X-Portkey-Gateway-Exception":
		return true
	}
	return false
}

// isPermanent reports whether err would occur again in the next attempt. Many such
// errors have no type and are recognized by their text.
func isPermanent(err error) bool {
	for _, target := range []any{
		new(*HeaderError), new(*RouteError),
		new(*tls.CertificateVerificationError), new(tls.RecordHeaderError), new(tls.AlertError),
	} {
		if errors.As(err, target) {
			return true
		}
	}
	if errors.Is(err, http.ErrSchemeMismatch) || strings.Contains(err.Error(), "invalid header") {
		return true
	}
	for ; err != nil; err = errors.Unwrap(err) {
		// Elsewhere in the text, it may be part of a host name.
		if text := err.Error(); strings.HasPrefix(text, "tls: ") || strings.HasPrefix(text, "x509: ") {
			return true
		}
	}
	return false
}

// RetryBackoff is a retryablehttp.Backoff. It returns the time that the response
// asks for: Retry-After-Ms in milliseconds, else Retry-After in seconds or as a date.
// Invalid, non-positive and past values are ignored. Otherwise it returns min,
// doubled with each attempt, minus a random part of up to a quarter, so that clients
// that failed together do not retry together. It never returns more than max.
func RetryBackoff(min, max time.Duration, attempt int, resp *http.Response) time.Duration {
	if min < 0 {
		min = 0
	}
	if max < 0 {
		max = 0
	}
	if attempt < 0 {
		attempt = 0
	}
	if resp != nil {
		if wait := retryAfter(resp.Header, max); wait > 0 {
			return wait
		}
	}
	wait := max
	if min <= max>>attempt {
		wait = min << attempt
	}
	return wait - rand.N(wait/4+1)
}

// retryAfter returns how long h asks to wait, at most max. It returns 0 or less if h
// does not ask for a valid time.
func retryAfter(h http.Header, max time.Duration) time.Duration {
	wait := parseDuration(h.Get("Retry-After-Ms"), time.Millisecond, max)
	if wait <= 0 {
		wait = parseDuration(h.Get("Retry-After"), time.Second, max)
	}
	if date, err := http.ParseTime(h.Get("Retry-After")); wait <= 0 && err == nil {
		wait = time.Until(date)
	}
	if wait > max {
		return max
	}
	return wait
}

// parseDuration returns text times unit, at most max, or 0 if text is not a positive
// number.
func parseDuration(text string, unit, max time.Duration) time.Duration {
	n, _ := strconv.ParseFloat(text, 64) // 0 if invalid, infinity if too large
	switch n *= float64(unit); {
	case n >= float64(max): // a Duration may not be able to hold n
		return max
	case n > 0:
		return time.Duration(n)
	}
	return 0
}

// A retryAdapter is a RoundTripper that sends through a retryablehttp.Client: see
// NewRetryTransport.
type retryAdapter struct {
	client     *retryablehttp.Client
	httpClient *http.Client      // used if client has none
	base       http.RoundTripper // used if neither has a Transport
}

// adaptRetry returns base, or a retryAdapter if base is a RoundTripper of
// go-retryablehttp.
func adaptRetry(base http.RoundTripper) http.RoundTripper {
	rt, ok := base.(*retryablehttp.RoundTripper)
	if !ok {
		return base
	}
	standard := retryablehttp.NewClient()
	return &retryAdapter{cmp.Or(rt.Client, standard), standard.HTTPClient, defaultBase()}
}

func (r *retryAdapter) RoundTrip(req *http.Request) (*http.Response, error) {
	hasBody := req.Body != nil && req.Body != http.NoBody
	c := &retryCall{req: req, client: r.client, replayable: !hasBody || req.GetBody != nil, openBody: req.Body}
	defer func() { // also if a hook or GetBody panics
		if c.openBody != nil {
			c.openBody.Close()
		}
	}()
	out := *req
	out.Header = req.Header.Clone() // hooks of the client may change it
	out.RequestURI = ""             // of a ReverseProxy's request: http.Client refuses it
	attempts := &retryablehttp.Request{Request: &out}
	if hasBody {
		attempts.SetBody(c.nextBody) // returns only errors of the function
		out.ContentLength, out.GetBody = req.ContentLength, req.GetBody
	}
	resp, err := r.clientFor(c).Do(attempts)
	if err == nil {
		c.openBody = nil
		return resp, nil
	}
	if wrapped, ok := err.(*url.Error); ok {
		err = wrapped.Err // the error of the base
	}
	return nil, err
}

// clientFor returns a copy of the client for c, which returns redirects and cannot close
// idle connections. go-retryablehttp closes them whenever a call fails, which affects
// other calls that share them.
func (r *retryAdapter) clientFor(c *retryCall) *retryablehttp.Client {
	hc := r.currentClient()
	c.base = hc.Transport
	hc.Transport = onlyRoundTrip(c.send)
	client := &retryablehttp.Client{
		HTTPClient:      &hc,
		Logger:          r.client.Logger,
		RetryWaitMin:    r.client.RetryWaitMin,
		RetryWaitMax:    r.client.RetryWaitMax,
		RetryMax:        r.client.RetryMax,
		RequestLogHook:  r.client.RequestLogHook,
		ResponseLogHook: c.logAndDrain,
		CheckRetry:      c.checkRetry,
		Backoff:         r.client.Backoff,
		ErrorHandler:    r.client.ErrorHandler,
		PrepareRetry:    r.client.PrepareRetry,
	}
	if client.Backoff == nil {
		client.Backoff = RetryBackoff
	}
	if client.ErrorHandler == nil {
		client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	}
	return client
}

// A retryCall is one call of a retryAdapter.
type retryCall struct {
	req        *http.Request
	client     *retryablehttp.Client // the user's
	base       http.RoundTripper
	replayable bool // the request has no body, or one that GetBody can open again

	bodies    int  // calls of nextBody
	attempts  int  // attempts that have ended
	willRetry bool // another attempt follows

	// openBody is the body to close if the call fails: the request's until the base has
	// it, then the response's.
	openBody io.ReadCloser
	header   http.Header // of the base's response
}

// nextBody returns the body of each attempt: req.Body for the first, and a new one for
// each retry.
func (c *retryCall) nextBody() (io.Reader, error) {
	switch c.bodies++; c.bodies {
	case 1:
		return http.NoBody, nil // SetBody measures the length, which is known
	case 2:
		return c.req.Body, nil
	}
	body, err := c.req.GetBody()
	if err == nil && body == nil {
		err = errors.New("portkey: Request.GetBody returned no body and no error: " +
			"set it to nil if the body cannot be reopened")
	}
	if err != nil {
		return nil, err
	}
	c.openBody = body
	return body, nil
}

// send calls the base. It hides Location from the http.Client until checkRetry: even
// with a CheckRedirect that stops it, the client would open the body again, and fail if
// that fails or Location is invalid.
func (c *retryCall) send(req *http.Request) (*http.Response, error) {
	c.openBody = nil // from here on, the base closes it
	resp, err := c.base.RoundTrip(req)
	if resp != nil {
		c.openBody, c.header = resp.Body, resp.Header
		if resp.Header.Get("Location") != "" {
			resp.Header = resp.Header.Clone()
			resp.Header.Del("Location")
		}
	}
	return resp, err
}

func (c *retryCall) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if resp != nil {
		resp.Header = c.header
	}
	c.attempts++
	c.willRetry = false
	if !c.replayable {
		return false, nil
	}
	policy := c.client.CheckRetry
	if policy == nil {
		policy = RetryPolicy
	}
	retry, err := policy(ctx, resp, err)
	c.willRetry = retry && c.attempts <= c.client.RetryMax
	return retry, err
}

// logAndDrain is a ResponseLogHook, the last hook before retryablehttp drains a
// response, which it does without a time limit.
func (c *retryCall) logAndDrain(logger retryablehttp.Logger, resp *http.Response) {
	if c.client.ResponseLogHook != nil {
		c.client.ResponseLogHook(logger, resp)
	}
	if c.willRetry {
		drain(c.req.Context(), resp.Body)
		c.openBody, resp.Body = nil, http.NoBody
	}
}

// drain reads up to 4 KiB of body within 100 ms, so that a short response leaves its
// connection open for the next attempt, and closes body.
func drain(ctx context.Context, body io.ReadCloser) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		io.CopyN(io.Discard, body, 4<<10)
	}()
	select {
	case panicked := <-done:
		if panicked != nil {
			panic(panicked) // where the caller can recover
		}
		body.Close()
	case <-ctx.Done():
		go body.Close() // usually ends the Read, but may wait for it
	}
}

// currentClient returns a copy of the http.Client, with a Transport. The user may have
// set either after NewTransport.
func (r *retryAdapter) currentClient() http.Client {
	hc := *cmp.Or(r.client.HTTPClient, r.httpClient)
	if hc.Transport == nil {
		hc.Transport = r.base
	}
	return hc
}

func (r *retryAdapter) CloseIdleConnections() {
	hc := r.currentClient()
	hc.CloseIdleConnections()
}

// onlyRoundTrip is a RoundTripper without CloseIdleConnections.
type onlyRoundTrip func(*http.Request) (*http.Response, error)

func (f onlyRoundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// returnRedirect is a CheckRedirect that returns redirects to the caller. It closes the
// body that net/http has opened for the next request, which is not sent.
func returnRedirect(req *http.Request, _ []*http.Request) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return http.ErrUseLastResponse
}
