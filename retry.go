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

// NewRetryTransport returns a base for [NewTransport] that tries again what fails
// in passing. base nil means http.DefaultTransport, looked up at each request.
//
// A call is then one trace, however many attempts it takes: at most three, with
// the waits of [RetryBackoff] between 500ms and 8s, where [RetryPolicy] says so.
// If all fail, the caller gets the last response, or the last error, as it came.
// Client and its fields are the caller's to change before the first request.
// Client.Logger is nil; a *slog.Logger fits. Each of its lines shows the URL of
// the attempt with its query, and none shows a header.
//
// A POST whose connection broke is sent again, though the provider may have done
// the work the first time: an LLM call may be paid twice. An SDK that retries by
// itself multiplies the attempts: turn off either. A stream is not tried again
// once its response has begun.
//
// Any *retryablehttp.RoundTripper that is given to [NewTransport] or [WrapClient]
// itself, and not inside another RoundTripper, is used as a RoundTripper should
// be: a body is reopened by Request.GetBody and not copied, one without GetBody
// is sent as it is read, and once; redirects are returned; and a call that fails
// leaves the idle connections, which others may share, alone.
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

// RetryPolicy is a retryablehttp.CheckRetry. Once ctx has ended it ends the call.
// Otherwise it has the following tried again:
//
//   - errors of the connection: refused, reset, timed out, closed. Not those that
//     the next attempt would meet again: any failure of TLS, a header or a URL that
//     cannot be sent, a [*HeaderError], a [*RouteError].
//   - status 408, 429 and 5xx but 501, unless the response says otherwise by
//     x-should-retry, "true" or "false", which counts for any error status.
//
// But a response with x-portkey-trace-id, x-portkey-request-id or
// x-portkey-gateway-exception, be it empty, is final: the gateway has dealt with
// the call, by the retry and the fallbacks of its config.
//
// It returns no error, so that the last response or error reaches the caller.
func RetryPolicy(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		again, _ := retryablehttp.DefaultRetryPolicy(ctx, nil, err)
		return again && !isPermanent(err), nil
	}
	if resp.StatusCode < 400 || anyKey(resp.Header, isGatewayMark) {
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

func isGatewayMark(key string) bool {
	switch http.CanonicalHeaderKey(key) {
	case keyTraceID, "X-Portkey-Request-Id", "X-Portkey-Gateway-Exception":
		return true
	}
	return false
}

// isPermanent reports whether err is one that the next attempt would meet again.
// Many of them have no type of their own: their text is what there is to go by.
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
		// Not anywhere in the text: there may be a host by that name.
		if text := err.Error(); strings.HasPrefix(text, "tls: ") || strings.HasPrefix(text, "x509: ") {
			return true
		}
	}
	return false
}

// RetryBackoff is a retryablehttp.Backoff. It waits as long as the response says:
// retry-after-ms in milliseconds, else Retry-After in seconds or as a date. What
// is no number or date, zero or less, or past does not count. Otherwise it waits
// min, doubled with each attempt, less a random part of up to a quarter, so that
// clients that failed together do not come back together. It never waits longer
// than max.
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

// retryAfter returns how long h says to wait, at most max; 0 or less if it does not.
func retryAfter(h http.Header, max time.Duration) time.Duration {
	wait := units(h.Get("Retry-After-Ms"), time.Millisecond, max)
	if wait <= 0 {
		wait = units(h.Get("Retry-After"), time.Second, max)
	}
	if date, err := http.ParseTime(h.Get("Retry-After")); wait <= 0 && err == nil {
		wait = time.Until(date)
	}
	if wait > max {
		return max
	}
	return wait
}

// units returns text times unit, at most max; 0 if text is not a number above 0.
func units(text string, unit, max time.Duration) time.Duration {
	n, _ := strconv.ParseFloat(text, 64) // 0 for what is no number, infinity beyond a float
	switch n *= float64(unit); {
	case n >= float64(max): // and then maybe beyond any Duration
		return max
	case n > 0:
		return time.Duration(n)
	}
	return 0
}

// A retrying is a RoundTripper that sends through a retryablehttp.Client: see
// NewRetryTransport.
type retrying struct {
	client     *retryablehttp.Client
	httpClient *http.Client      // used if client has none
	base       http.RoundTripper // used if neither has a Transport
}

// retryingBase returns base, or a retrying if base is one of go-retryablehttp.
func retryingBase(base http.RoundTripper) http.RoundTripper {
	rt, ok := base.(*retryablehttp.RoundTripper)
	if !ok {
		return base
	}
	standard := retryablehttp.NewClient()
	return &retrying{cmp.Or(rt.Client, standard), standard.HTTPClient, defaultBase()}
}

func (r *retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	out := *req
	out.Header = req.Header.Clone() // the client's hooks may change it
	attempts := &retryablehttp.Request{Request: &out}
	client := r.forOneCall()
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			client.CheckRetry = neverRetry
		}
		attempts.SetBody(bodies(req)) // no error: it fails only as the function it is given
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
		err = wrapped.Err // the base's own
	}
	return nil, err
}

// bodies returns what gives each attempt its body: the first one req's own.
func bodies(req *http.Request) retryablehttp.ReaderFunc {
	n := 0
	return func() (io.Reader, error) {
		switch n++; n {
		case 1:
			return http.NoBody, nil // SetBody asks, for a length that is known
		case 2:
			return req.Body, nil
		}
		return req.GetBody()
	}
}

// forOneCall returns a copy of the client that returns redirects, and that cannot
// close idle connections: it would whenever a call fails, which costs the other
// calls of the base their connections, and at times their answers.
func (r *retrying) forOneCall() *retryablehttp.Client {
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

// currentClient returns a copy of the http.Client that the user has set by now.
func (r *retrying) currentClient() http.Client {
	hc := *cmp.Or(r.client.HTTPClient, r.httpClient)
	if hc.Transport == nil {
		hc.Transport = r.base
	}
	return hc
}

func (r *retrying) CloseIdleConnections() {
	hc := r.currentClient()
	hc.CloseIdleConnections()
}

type onlyRoundTrip struct{ http.RoundTripper }

func neverRetry(context.Context, *http.Response, error) (bool, error) { return false, nil }

// returnRedirect is a CheckRedirect. net/http has opened the body for a hop that
// is not made.
func returnRedirect(req *http.Request, _ []*http.Request) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return http.ErrUseLastResponse
}
