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
// fail, the caller gets the last response, or the last error, unchanged. The caller may
// change Client and its fields before the first request. Client.Logger is nil; a
// *slog.Logger can be used. Its lines contain the URL of the attempt, including the
// query, but no headers. Some clients send an API key in the query.
//
// A POST whose connection broke is sent again, even though the provider may have
// processed the first attempt: an LLM call may be billed twice. If an SDK retries as
// well, the attempts multiply: disable one of them. A stream is not retried after its
// response has begun.
//
// A *retryablehttp.RoundTripper that is given to [NewTransport] or [WrapClient]
// directly, and not inside another RoundTripper, is used in a way that suits a
// RoundTripper: a body is replayed by Request.GetBody and not buffered, and without
// GetBody there is one attempt; redirects are returned; a failed call does not close
// the idle connections, which other calls share.
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
	if resp.StatusCode < 400 || anyKey(resp.Header, isGatewayHeader) {
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
	out := *req
	out.Header = req.Header.Clone() // hooks of the client may change it
	attempts := &retryablehttp.Request{Request: &out}
	client := r.clientForCall()
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			client.CheckRetry = neverRetry
		}
		attempts.SetBody(attemptBodies(req)) // no error: that would be one of its first call
		out.ContentLength, out.GetBody = req.ContentLength, req.GetBody
	}
	resp, err := client.Do(attempts)
	if err == nil {
		return resp, nil
	}
	if resp != nil && resp.Body != nil {
		resp.Body.Close()
	}
	if wrapped, ok := err.(*url.Error); ok {
		err = wrapped.Err // the error of the base
	}
	return nil, err
}

// attemptBodies returns a function that returns req.Body for the first attempt, and a
// new body for each retry. SetBody calls it before the first attempt.
func attemptBodies(req *http.Request) retryablehttp.ReaderFunc {
	calls := 0
	return func() (io.Reader, error) {
		switch calls++; calls {
		case 1:
			return http.NoBody, nil // for SetBody, which only determines the length
		case 2:
			return req.Body, nil
		}
		return req.GetBody()
	}
}

// clientForCall returns a copy of the client that returns redirects and cannot close
// idle connections. go-retryablehttp closes them whenever a call fails, which affects
// other calls that share them.
func (r *retryAdapter) clientForCall() *retryablehttp.Client {
	hc := r.currentClient()
	hc.Transport = onlyRoundTrip{hc.Transport}
	hc.CheckRedirect = returnRedirect
	return &retryablehttp.Client{
		HTTPClient:      &hc,
		Logger:          r.client.Logger,
		RetryWaitMin:    r.client.RetryWaitMin,
		RetryWaitMax:    r.client.RetryWaitMax,
		RetryMax:        r.client.RetryMax,
		RequestLogHook:  r.client.RequestLogHook,
		ResponseLogHook: r.client.ResponseLogHook,
		CheckRetry:      r.client.CheckRetry,
		Backoff:         r.client.Backoff,
		ErrorHandler:    r.client.ErrorHandler,
		PrepareRetry:    r.client.PrepareRetry,
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

// onlyRoundTrip hides all other methods of a RoundTripper, such as
// CloseIdleConnections.
type onlyRoundTrip struct{ http.RoundTripper }

func neverRetry(context.Context, *http.Response, error) (bool, error) { return false, nil }

// returnRedirect is a CheckRedirect that returns redirects to the caller. It closes the
// body that net/http has opened for the next request, which is not sent.
func returnRedirect(req *http.Request, _ []*http.Request) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return http.ErrUseLastResponse
}
