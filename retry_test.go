package portkey_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/sashabaranov/go-openai"

	"github.com/portkey-go/portkey"
)

// newRetryTransport returns a NewRetryTransport that waits only 1 ms between
// attempts.
func newRetryTransport(base http.RoundTripper) *retryablehttp.RoundTripper {
	rt := portkey.NewRetryTransport(base)
	rt.Client.RetryWaitMin, rt.Client.RetryWaitMax = time.Millisecond, time.Millisecond
	return rt
}

// newThirdPartyRetryTransport returns a RoundTripper of go-retryablehttp with that
// package's own retry policy and http.Client, which follows redirects.
func newThirdPartyRetryTransport() *retryablehttp.RoundTripper {
	c := retryablehttp.NewClient()
	c.Logger, c.ErrorHandler = nil, retryablehttp.PassthroughErrorHandler
	return &retryablehttp.RoundTripper{Client: c}
}

// newRetryClient returns a client whose Transport sends to gateway through rt.
func newRetryClient(t *testing.T, rt http.RoundTripper, gateway string) *http.Client {
	t.Helper()
	opts := portkey.Options{BaseURL: gateway, Headers: portkey.Headers{APIKey: secret}}
	return &http.Client{Transport: newTransport(t, rt, opts)}
}

// newPost returns a chat completion request with a body that can be reopened.
func newPost(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	return newRequest(t, ctx, "POST", openAIChat, "{}")
}

// respondInTurn answers with each status once, and then always with the last one.
// The body of the nth response is "response n".
func respondInTurn(statuses ...int) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1))
		w.WriteHeader(statuses[min(i, len(statuses))-1])
		fmt.Fprintf(w, "response %d", i)
	}
}

// receive fails the test if nothing is received from ch within 20 s.
func receive[T any](t *testing.T, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(20 * time.Second):
		t.Fatal("timed out: " + what)
	}
	return v
}

// openedBodies records the bodies that its open method, a Request.GetBody, returns.
type openedBodies []*countingBody

func (b *openedBodies) open() (io.ReadCloser, error) {
	*b = append(*b, newCountingBody())
	return (*b)[len(*b)-1], nil
}

func TestRetriesShareATraceIDAndSendEachHeaderOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, respondInTurn(503, 429, 200))
	tr := newTransport(t, newRetryTransport(nil), portkey.Options{BaseURL: s.URL + "/v1", Headers: portkey.Headers{
		APIKey: secret, Config: portkey.ConfigSlug("pc-1"), Metadata: portkey.Metadata{"a": "1"},
	}})
	ctx := portkey.WithMetadata(t.Context(), portkey.Metadata{"b": "2"})
	var info portkey.ResponseInfo
	ctx = portkey.WithResponseInfo(ctx, &info)
	resp, body := do(t, &http.Client{Transport: tr}, newPost(t, ctx))
	if resp.StatusCode != 200 || body != "response 3" {
		t.Errorf("got %d %q, want 200 and the third response", resp.StatusCode, body)
	}
	attempts := s.all()
	if len(attempts) != 3 {
		t.Fatalf("got %d attempts, want 3", len(attempts))
	}
	for i, got := range attempts {
		if !reflect.DeepEqual(got, attempts[0]) {
			t.Errorf("attempt %d: got %v, want the same as attempt 1: %v", i+1, got, attempts[0])
		}
		for key, values := range got.header {
			if len(values) != 1 {
				t.Errorf("attempt %d: got %s %d times, want 1", i+1, key, len(values))
			}
		}
	}
	h := attempts[0].header
	if len(h.Get("X-Portkey-Trace-Id")) != 36 || h.Get("X-Portkey-Metadata") != `{"a":"1","b":"2"}` {
		t.Errorf("got %v, want a trace ID and the metadata", h)
	}
}

func TestRetryResendsTheWholeBody(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 100_000)
	var form bytes.Buffer
	mw := multipart.NewWriter(&form)
	part, _ := mw.CreateFormFile("file", "a.wav")
	io.WriteString(part, long)
	mw.Close()
	setGetBody := func(length int64) func(*http.Request) {
		return func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(long)), nil }
			r.Body, _ = r.GetBody()
			r.ContentLength = length
		}
	}
	for _, tt := range []struct {
		name       string
		body       io.Reader
		prepare    func(*http.Request)
		want       string
		wantLength int64
	}{
		{"JSON", strings.NewReader(`{"model":"gpt"}`), nil, `{"model":"gpt"}`, 15},
		{"multipart", &form, nil, form.String(), int64(form.Len())},
		{"GetBody", nil, setGetBody(int64(len(long))), long, int64(len(long))},
		{"GetBody of unknown length", nil, setGetBody(-1), long, -1},
		{"nil", nil, nil, "", 0},
		{"NoBody", http.NoBody, nil, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var gotLengths []int64
			respond := respondInTurn(500, 502, 200)
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				gotLengths = append(gotLengths, r.ContentLength)
				respond(w, r)
			})
			req, err := http.NewRequestWithContext(t.Context(), "POST", openAIChat, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.prepare != nil {
				tt.prepare(req)
			}
			do(t, newRetryClient(t, newRetryTransport(nil), s.URL), req)
			for i, got := range s.all() {
				if got.body != tt.want {
					t.Errorf("attempt %d: got %d bytes, want the body of %d bytes", i+1, len(got.body), len(tt.want))
				}
			}
			if want := []int64{tt.wantLength, tt.wantLength, tt.wantLength}; !reflect.DeepEqual(gotLengths, want) {
				t.Errorf("got lengths %v, want %v", gotLengths, want)
			}
		})
	}
}

func TestRetryReopensTheBodyAndDoesNotCopyIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		hasGetBody   bool
		wantAttempts int
	}{
		{"GetBody", true, 3},
		{"no GetBody", false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var opened openedBodies
			base := new(recorder)
			base.respond = func(r *http.Request) (*http.Response, error) {
				attempt := len(base.all())
				if len(opened) != attempt {
					t.Errorf("attempt %d: got %d opened bodies, want %d", attempt, len(opened), attempt)
				}
				if r.Body != io.ReadCloser(opened[attempt-1]) {
					t.Errorf("attempt %d: got body %T, want the one that was opened for it", attempt, r.Body)
				}
				if (r.GetBody != nil) != tt.hasGetBody {
					t.Errorf("attempt %d: got GetBody %t, want %t", attempt, r.GetBody != nil, tt.hasGetBody)
				}
				if body, err := io.ReadAll(r.Body); string(body) != "{}" || err != nil {
					t.Errorf("attempt %d: got %q, %v, want the whole body", attempt, body, err)
				}
				r.Body.Close()
				return nil, io.ErrUnexpectedEOF
			}
			req := newRequest(t, t.Context(), "POST", openAIChat, "")
			req.Body, _ = opened.open()
			if tt.hasGetBody {
				req.GetBody = opened.open
			}
			tr := newTransport(t, newRetryTransport(base), portkey.Options{BaseURL: "http://gw.example"})
			if _, err := tr.RoundTrip(req); err != io.ErrUnexpectedEOF {
				t.Errorf("got %v, want the unwrapped error of the base", err)
			}
			if got := len(base.all()); got != tt.wantAttempts {
				t.Errorf("got %d attempts, want %d", got, tt.wantAttempts)
			}
			for i, body := range opened {
				if n := body.closed.Load(); n != 1 {
					t.Errorf("body %d was closed %d times, want 1", i+1, n)
				}
			}
		})
	}
}

func TestBodyWithoutGetBodyIsStreamedInOneAttempt(t *testing.T) {
	t.Parallel()
	for name, rt := range map[string]http.RoundTripper{
		"NewRetryTransport": newRetryTransport(nil),
		"third party":       newThirdPartyRetryTransport(),
	} {
		t.Run(name, func(t *testing.T) {
			// Buffered, so that no attempt blocks the handler.
			beginnings, bodies := make(chan string, 5), make(chan string, 5)
			var attempts atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				attempts.Add(1)
				buf := make([]byte, 5)
				io.ReadFull(r.Body, buf)
				beginnings <- string(buf)
				rest, _ := io.ReadAll(r.Body)
				bodies <- string(buf) + string(rest)
				http.Error(w, "too busy", http.StatusServiceUnavailable)
			}))
			defer s.Close()
			pr, pw := io.Pipe()
			result := make(chan error, 1)
			var status int
			var body []byte
			go func() {
				req, err := http.NewRequestWithContext(t.Context(), "POST", openAIChat, pr)
				if err != nil {
					result <- err
					return
				}
				resp, err := newRetryClient(t, rt, s.URL).Do(req)
				if err == nil {
					status = resp.StatusCode
					body, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				result <- err
			}()
			io.WriteString(pw, "first")
			receive(t, beginnings, "the beginning of the body did not arrive before its end was written")
			io.WriteString(pw, " and last")
			pw.Close()
			if err := receive(t, result, "the call"); err != nil || status != 503 || string(body) != "too busy\n" {
				t.Errorf("got %d %q, %v, want the response", status, body, err)
			}
			if got, n := <-bodies, attempts.Load(); got != "first and last" || n != 1 {
				t.Errorf("got %q in %d attempts, want the whole body in 1", got, n)
			}
		})
	}
}

func TestLastResponseIsReturnedWithItsBody(t *testing.T) {
	t.Parallel()
	for _, status := range []int{408, 429, 500, 502, 503, 504, 529} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			s := newServer(t, respondInTurn(status))
			resp, body := do(t, newRetryClient(t, newRetryTransport(nil), s.URL), newPost(t, t.Context()))
			if resp.StatusCode != status || body != "response 3" {
				t.Errorf("got %d %q, want %d and the third response", resp.StatusCode, body, status)
			}
		})
	}
}

func TestAPIErrorOfTheLastAttemptReachesGoOpenAI(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(429)
		fmt.Fprintf(w, `{"error":{"message":"slow down %d","type":"rate_limit"}}`, n.Add(1))
	})
	cfg := openai.DefaultConfig("sk")
	cfg.HTTPClient = &http.Client{Transport: newRetryTransport(nil)}
	cfg, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	client := openai.NewClientWithConfig(cfg)
	_, err = client.CreateChatCompletion(t.Context(), openai.ChatCompletionRequest{Model: "m"})
	var apiErr *openai.APIError
	if !errors.As(err, &apiErr) || apiErr.HTTPStatusCode != 429 || apiErr.Message != "slow down 3" {
		t.Errorf("got %v, want the API error of the third attempt", err)
	}
}

func TestNewRetryTransportDefaults(t *testing.T) {
	t.Parallel()
	c := portkey.NewRetryTransport(nil).Client
	if c.RetryMax != 2 {
		t.Errorf("got RetryMax %d, want 2", c.RetryMax)
	}
	if c.RetryWaitMin != 500*time.Millisecond || c.RetryWaitMax != 8*time.Second {
		t.Errorf("got waits of %v to %v, want 500ms to 8s", c.RetryWaitMin, c.RetryWaitMax)
	}
	if c.HTTPClient.Timeout != 0 {
		t.Errorf("got timeout %v, want 0", c.HTTPClient.Timeout)
	}
	resp := &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"3600"}}}
	if got := c.Backoff(c.RetryWaitMin, c.RetryWaitMax, 0, resp); got != 8*time.Second {
		t.Errorf("got a wait of %v, want 8s", got)
	}
}

func TestNewRetryTransportReturnsRedirectsWithoutATransport(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(307)
	})
	resp, err := portkey.NewRetryTransport(nil).RoundTrip(newRequest(t, t.Context(), "POST", s.URL, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 307 {
		t.Errorf("got %d, want the redirect", resp.StatusCode)
	}
}

func TestRetryPolicyByStatus(t *testing.T) {
	t.Parallel()
	retried := map[int]bool{408: true, 429: true}
	for status := 100; status < 1000; status++ {
		want := retried[status] || status >= 500 && status != 501
		got, err := portkey.RetryPolicy(t.Context(), &http.Response{StatusCode: status}, nil)
		if got != want || err != nil {
			t.Errorf("%d: got %t, %v, want %t", status, got, err, want)
		}
	}
}

func TestRetryPolicyByHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		header http.Header
		want   bool
	}{
		// The open-source gateway sends an empty trace ID.
		{503, http.Header{"X-Portkey-Trace-Id": {""}}, false},
		{503, http.Header{"X-Portkey-Trace-Id": {"t"}}, false},
		{429, http.Header{"X-Portkey-Request-Id": {"r"}}, false},
		{500, http.Header{"x-portkey-gateway-exception": {"true"}}, false},
		{503, http.Header{"X-Portkey-Provider": {"openai"}}, true},
		{503, http.Header{"X-Request-Id": {"r"}}, true},
		{409, http.Header{"X-Should-Retry": {"true"}}, true},
		{200, http.Header{"X-Should-Retry": {"true"}}, false},
		{503, http.Header{"X-Should-Retry": {"false"}}, false},
		{503, http.Header{"X-Should-Retry": {"maybe"}}, true},
		// The gateway's headers take precedence over a provider's x-should-retry.
		{503, http.Header{"X-Should-Retry": {"true"}, "X-Portkey-Trace-Id": {""}}, false},
	} {
		t.Run(fmt.Sprintf("%d %v", tt.status, tt.header), func(t *testing.T) {
			got, err := portkey.RetryPolicy(t.Context(), &http.Response{StatusCode: tt.status, Header: tt.header}, nil)
			if got != tt.want || err != nil {
				t.Errorf("got %t, %v, want %t", got, err, tt.want)
			}
		})
	}
}

func TestRetryPolicyDoesNotRetryAfterTheContextEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		resp *http.Response
		err  error
	}{
		{"error", nil, io.EOF},
		{"response", &http.Response{StatusCode: 503}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := portkey.RetryPolicy(ctx, tt.resp, tt.err); got || err != nil {
				t.Errorf("got %t, %v, want false, nil", got, err)
			}
		})
	}
}

func TestRetryPolicyWithoutAResponse(t *testing.T) {
	t.Parallel()
	if got, err := portkey.RetryPolicy(t.Context(), nil, nil); got || err != nil {
		t.Errorf("got %t, %v, want false, nil", got, err)
	}
}

// An opaqueError hides the text of the error that it wraps.
type opaqueError struct{ error }

func (opaqueError) Error() string   { return "failed" }
func (e opaqueError) Unwrap() error { return e.error }

func TestRetryPolicyByError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"EOF", io.EOF, true},
		{"connection refused", syscall.ECONNREFUSED, true},
		// The timeout of one attempt: the deadline of the call has not passed.
		{"deadline exceeded", context.DeadlineExceeded, true},
		{"TLS handshake timeout", errors.New("net/http: TLS handshake timeout"), true},
		{"wrapped HeaderError", opaqueError{&portkey.HeaderError{}}, false},
		{"wrapped RouteError", opaqueError{&portkey.RouteError{}}, false},
		{"joined TLS record header", errors.Join(io.EOF, tls.RecordHeaderError{}), false},
		{"joined TLS alert", errors.Join(io.EOF, tls.AlertError(40)), false},
		{"joined certificate", errors.Join(io.EOF, &tls.CertificateVerificationError{Err: io.EOF}), false},
		{"wrapped scheme mismatch", opaqueError{http.ErrSchemeMismatch}, false},
		{"RouteError", &portkey.RouteError{}, false},
		{"HeaderError", &portkey.HeaderError{}, false},
		{"DNS name that contains tls", &net.DNSError{Name: "gateway-tls", Err: "no such host"}, true},
		{"DNS", &net.DNSError{Name: "portkey", Err: "no such host"}, true},
		{"remote TLS", &net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, false},
		{"certificate host name", x509.HostnameError{Certificate: &x509.Certificate{}}, false},
		{"invalid header", errors.New("net/http: invalid header field name"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := portkey.RetryPolicy(t.Context(), nil, tt.err)
			if got != tt.want || err != nil {
				t.Errorf("%#v: got %t, %v, want %t", tt.err, got, err, tt.want)
			}
		})
	}
}

// go-retryablehttp recognizes this error, but only by the text of a *url.Error.
func TestUnsupportedSchemeIsNotRetried(t *testing.T) {
	t.Parallel()
	base := &recorder{respond: new(http.Transport).RoundTrip}
	_, err := newRetryTransport(base).Client.Get("gopher://gw.example")
	if n := len(base.all()); err == nil || n != 1 {
		t.Errorf("got %v after %d attempts, want an error after 1", err, n)
	}
}

func TestTLSAndInvalidHeaderErrorsAreNotRetried(t *testing.T) {
	t.Parallel()
	tlsServer := newTLSServer(t, nil)
	tls13Server := newTLSServer(t, &tls.Config{MinVersion: tls.VersionTLS13})
	// Version 1.2, since with 1.3 the client sends the request before the alert arrives.
	mutualTLSServer := newTLSServer(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12})
	plainServer := newServer(t, nil)
	pool := x509.NewCertPool()
	pool.AddCert(tlsServer.Certificate())
	isTLSAlert := func(err error) bool {
		var op *net.OpError
		return errors.As(err, &op) && op.Op == "remote error"
	}
	for _, tt := range []struct {
		name        string
		url         string
		config      *tls.Config
		headerValue string
		isWanted    func(error) bool
	}{
		{"unknown authority", tlsServer.URL, nil, "", func(err error) bool {
			var cert *tls.CertificateVerificationError
			var unknown x509.UnknownAuthorityError
			return errors.As(err, &cert) && errors.As(err, &unknown)
		}},
		{"wrong host name", tlsServer.URL, &tls.Config{RootCAs: pool, ServerName: "other.test"}, "", func(err error) bool {
			var host x509.HostnameError
			return errors.As(err, &host)
		}},
		{"plain HTTP", strings.Replace(plainServer.URL, "http:", "https:", 1), nil, "", func(err error) bool {
			return errors.Is(err, http.ErrSchemeMismatch)
		}},
		{"TLS version", tls13Server.URL, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}, "", isTLSAlert},
		{"client certificate", mutualTLSServer.URL, &tls.Config{RootCAs: pool}, "", isTLSAlert},
		{"invalid header", plainServer.URL, nil, secret + "\n", func(err error) bool {
			return strings.Contains(err.Error(), "invalid header") && !strings.Contains(err.Error(), secret)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: tt.config}
			defer transport.CloseIdleConnections()
			base := &recorder{respond: transport.RoundTrip}
			req := newPost(t, t.Context())
			req.Header.Set("X-Client", tt.headerValue)
			resp, err := newRetryClient(t, newRetryTransport(base), tt.url).Do(req)
			if err == nil {
				resp.Body.Close()
				t.Fatalf("got %s, want an error", resp.Status)
			}
			if n := len(base.all()); n != 1 {
				t.Errorf("got %d attempts, want 1", n)
			}
			if !tt.isWanted(err) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestBrokenConnectionIsRetried(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) < 3 {
			panic(http.ErrAbortHandler)
		}
	})
	do(t, newRetryClient(t, newRetryTransport(nil), s.URL), newPost(t, t.Context()))
	if attempts := s.all(); len(attempts) != 3 || attempts[2].body != "{}" {
		t.Errorf("got %v, want three attempts with the body", attempts)
	}
}

func TestRefusedConnectionIsRetried(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // frees a port on which connections are refused
	base := &recorder{respond: loopback.RoundTrip}
	_, err = newRetryClient(t, newRetryTransport(base), "http://"+l.Addr().String()).Do(newPost(t, t.Context()))
	// On Windows, it is not syscall.ECONNREFUSED.
	var opErr *net.OpError
	if n := len(base.all()); !errors.As(err, &opErr) || opErr.Op != "dial" || n != 3 {
		t.Errorf("got %v after %d attempts, want a refused connection after 3", err, n)
	}
}

func TestRetryAfterIsHonoredUpToTheMaximumWait(t *testing.T) {
	t.Parallel()
	const minWait, maxWait = 100 * time.Millisecond, 8 * time.Second
	type bounds struct{ min, max time.Duration }
	backoff := bounds{minWait * 3 / 4, minWait}
	exactly := func(d time.Duration) bounds { return bounds{d, d} }
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, tt := range []struct {
		after, afterMs string // Retry-After and Retry-After-Ms
		want           bounds
	}{
		{after: "2", want: exactly(2 * time.Second)},
		{after: "1.5", want: exactly(1500 * time.Millisecond)},
		{after: "8", want: exactly(maxWait)},
		{after: "3600", want: exactly(maxWait)},
		{after: "9999999999", want: exactly(maxWait)},
		{after: "18446744074", want: exactly(maxWait)},
		{after: "9223372036854775808", want: exactly(maxWait)},
		{after: "1e400", want: exactly(maxWait)},
		{after: "+Inf", want: exactly(maxWait)},
		{after: strings.Repeat("9", 400), want: exactly(maxWait)},
		{after: date(time.Hour), want: exactly(maxWait)},
		{after: date(6 * time.Second), want: bounds{time.Second, 6 * time.Second}},
		{after: "Fri, 31 Dec 9999 23:59:59 GMT", want: exactly(maxWait)},
		{after: date(-time.Hour), want: backoff},
		{after: "Thu, 01 Jan 1970 00:00:00 GMT", want: backoff},
		{after: "0", want: backoff},
		{after: "-1", want: backoff},
		{after: "-18446744074", want: backoff},
		{after: "-1e400", want: backoff},
		{after: "1e-400", want: backoff},
		{after: "NaN", want: backoff},
		{after: "soon", want: backoff},
		{after: "", want: backoff},
		{afterMs: "250", want: exactly(250 * time.Millisecond)},
		{afterMs: "0.5", want: exactly(500 * time.Microsecond)},
		{afterMs: "3600000", want: exactly(maxWait)},
		{afterMs: "250", after: "2", want: exactly(250 * time.Millisecond)},
		{afterMs: "250", after: date(time.Hour), want: exactly(250 * time.Millisecond)},
		{afterMs: "soon", after: "2", want: exactly(2 * time.Second)},
		{afterMs: "-5", after: "2", want: exactly(2 * time.Second)},
		{afterMs: "0", after: "-1", want: backoff},
		{afterMs: "1e-9", want: backoff},
	} {
		t.Run(fmt.Sprintf("Retry-After %.40q, Retry-After-Ms %q", tt.after, tt.afterMs), func(t *testing.T) {
			for _, status := range []int{408, 429, 500, 503} {
				resp := &http.Response{StatusCode: status, Header: http.Header{}}
				resp.Header.Set("Retry-After", tt.after)
				resp.Header.Set("Retry-After-Ms", tt.afterMs)
				if got := portkey.RetryBackoff(minWait, maxWait, 0, resp); got < tt.want.min || got > tt.want.max {
					t.Errorf("%d: got %v, want %v to %v", status, got, tt.want.min, tt.want.max)
				}
			}
		})
	}
}

func TestRetryAfterWithUnusualMaximumWait(t *testing.T) {
	t.Parallel()
	resp := &http.Response{Header: http.Header{"Retry-After": {"60"}}}
	for _, tt := range []struct{ maxWait, want time.Duration }{
		{0, 0},
		{-1, 0},
		{math.MaxInt64, time.Minute},
	} {
		t.Run(tt.maxWait.String(), func(t *testing.T) {
			if got := portkey.RetryBackoff(100*time.Millisecond, tt.maxWait, 0, resp); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRetryBackoffDoublesUpToTheMaximumWait(t *testing.T) {
	t.Parallel()
	const maxDuration = time.Duration(math.MaxInt64)
	for _, tt := range []struct {
		min, max time.Duration
		attempt  int
		want     time.Duration // before jitter, which subtracts up to a quarter
	}{
		{500 * time.Millisecond, 8 * time.Second, 0, 500 * time.Millisecond},
		{500 * time.Millisecond, 8 * time.Second, 1, time.Second},
		{500 * time.Millisecond, 8 * time.Second, 3, 4 * time.Second},
		{500 * time.Millisecond, 8 * time.Second, 4, 8 * time.Second},
		{500 * time.Millisecond, 8 * time.Second, 5, 8 * time.Second},
		{500 * time.Millisecond, 8 * time.Second, 62, 8 * time.Second},
		{500 * time.Millisecond, 8 * time.Second, 63, 8 * time.Second},
		{500 * time.Millisecond, 8 * time.Second, 64, 8 * time.Second},
		{500 * time.Millisecond, 8 * time.Second, 1000, 8 * time.Second},
		{500 * time.Millisecond, 8 * time.Second, -1, 500 * time.Millisecond},
		{500 * time.Millisecond, maxDuration, 1000, maxDuration},
		{maxDuration, maxDuration, 0, maxDuration},
		{time.Minute, time.Second, 0, time.Second},
		{0, time.Second, 1000, 0},
		{-time.Second, time.Second, 3, 0},
		{time.Second, 0, 3, 0},
		{time.Second, -time.Second, 3, 0},
		{3, 3, 0, 3},
	} {
		t.Run(fmt.Sprintf("%v to %v, attempt %d", tt.min, tt.max, tt.attempt), func(t *testing.T) {
			for _, resp := range []*http.Response{nil, {StatusCode: 503}} {
				got := portkey.RetryBackoff(tt.min, tt.max, tt.attempt, resp)
				if got < tt.want-tt.want/4 || got > tt.want {
					t.Errorf("response %v: got %v, want %v less up to a quarter", resp, got, tt.want)
				}
			}
		})
	}
}

func TestRetryBackoffAddsJitter(t *testing.T) {
	t.Parallel()
	shortest, longest := time.Hour, time.Duration(0)
	for range 1000 {
		wait := portkey.RetryBackoff(time.Second, time.Minute, 0, nil)
		shortest, longest = min(shortest, wait), max(longest, wait)
	}
	if shortest < 750*time.Millisecond || shortest > 800*time.Millisecond {
		t.Errorf("got a shortest wait of %v, want 750ms to 800ms", shortest)
	}
	if longest < 950*time.Millisecond || longest > time.Second {
		t.Errorf("got a longest wait of %v, want 950ms to 1s", longest)
	}
}

func TestContextEndsTheWaitBetweenAttempts(t *testing.T) {
	t.Parallel()
	s := newServer(t, respondInTurn(503))
	// newWaitingClient calls onWait before it waits for an hour.
	newWaitingClient := func(onWait func()) *http.Client {
		rt := newRetryTransport(nil)
		rt.Client.Backoff = func(time.Duration, time.Duration, int, *http.Response) time.Duration {
			onWait()
			return time.Hour
		}
		return newRetryClient(t, rt, s.URL)
	}
	t.Run("canceled", func(t *testing.T) {
		before := len(s.all())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := newWaitingClient(cancel).Do(newPost(t, ctx))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if n := len(s.all()) - before; n != 1 {
			t.Errorf("got %d attempts, want 1", n)
		}
	})
	t.Run("deadline exceeded", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := newWaitingClient(func() {}).Do(newPost(t, ctx))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
	})
	t.Run("client timeout", func(t *testing.T) {
		c := newWaitingClient(func() {})
		c.Timeout = 50 * time.Millisecond
		_, err := c.Do(newPost(t, t.Context()))
		var netErr net.Error
		if !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("got %v, want a timeout", err)
		}
	})
}

func TestCanceledCallIsNotRetried(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	base := &recorder{respond: loopback.RoundTrip}
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := newRetryClient(t, newRetryTransport(base), s.URL).Do(newPost(t, ctx))
	if n := len(base.all()); !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("got %v after %d attempts, want context.Canceled after 1", err, n)
	}
}

func TestRetryLogsNothingByDefault(t *testing.T) {
	t.Parallel()
	s := newServer(t, respondInTurn(503, 200))
	rt, hookCalls := newRetryTransport(nil), 0
	rt.Client.RequestLogHook = func(l retryablehttp.Logger, _ *http.Request, _ int) {
		hookCalls++
		if l != nil {
			t.Errorf("got logger %T, want nil", l)
		}
	}
	do(t, newRetryClient(t, rt, s.URL), newPost(t, t.Context()))
	if hookCalls != 2 {
		t.Errorf("got %d calls of the hook, want 2", hookCalls)
	}
}

func TestRetryLogsNoSecret(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			http.Error(w, secret, http.StatusServiceUnavailable)
		}
	})
	var log bytes.Buffer
	rt := newRetryTransport(nil)
	rt.Client.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts := secretOptions()
	opts.BaseURL = s.URL
	tr := newTransport(t, rt, opts)
	ctx := portkey.WithMetadata(t.Context(), portkey.Metadata{"k": secret})
	req := newRequest(t, ctx, "POST", openAIChat+"?page=2", secret)
	ownHeaders(req.Header)
	do(t, &http.Client{Transport: tr}, req)
	for _, want := range []string{
		`"msg":"performing request"`, `"msg":"request failed"`, `"msg":"retrying request"`, "page=2", "status: 503",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("got %s, want it to contain %s", &log, want)
		}
	}
	if strings.Contains(log.String(), secret) || strings.Contains(strings.ToLower(log.String()), "x-portkey") {
		t.Errorf("a secret or a header was logged: %s", &log)
	}
}

func TestRetryFollowsNoRedirects(t *testing.T) {
	t.Parallel()
	thirdParty := newThirdPartyRetryTransport()
	httpClient := *thirdParty.Client.HTTPClient
	for name, rt := range map[string]*retryablehttp.RoundTripper{
		"NewRetryTransport": newRetryTransport(nil),
		"third party":       thirdParty,
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				var gw *server
				gw = newServer(t, redirectTo(status, map[string]func() string{
					"/x": func() string { return foreign(gw) + "/y" },
				}))
				c := newRetryClient(t, rt, gw.URL)
				var opened openedBodies
				req := newRequest(t, t.Context(), "POST", gw.URL+"/x", "")
				req.Body, _ = opened.open()
				req.GetBody, req.ContentLength = opened.open, 2
				resp, err := c.Transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				n := len(gw.all())
				if resp.StatusCode != status || n != 1 || resp.Header.Get("Location") == "" {
					t.Errorf("got %d after %d requests, want the redirect after 1", resp.StatusCode, n)
				}
				// net/http may close the first body after it has returned the response.
				for i, body := range opened[1:] {
					if body.closed.Load() == 0 {
						t.Errorf("reopened body %d was not closed", i+1)
					}
				}

				resp, err = c.Get(gw.URL + "/x")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				checkNoSecret(t, "redirect", gw.last(t))
			})
		}
	}
	if !reflect.DeepEqual(*thirdParty.Client.HTTPClient, httpClient) {
		t.Error("the caller's http.Client was changed")
	}
}

func TestRedirectThatCannotBeFollowedIsReturnedByRetries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, location string
		getBody        func() (io.ReadCloser, error)
	}{
		{"invalid Location", "http://[::1", func() (io.ReadCloser, error) { return http.NoBody, nil }},
		{"GetBody fails", "/y", func() (io.ReadCloser, error) { return nil, errors.New("failed") }},
		{"GetBody panics", "/y", func() (io.ReadCloser, error) { panic("GetBody") }},
	} {
		for _, status := range []int{302, 307} {
			t.Run(fmt.Sprint(tt.name, " ", status), func(t *testing.T) {
				header := http.Header{"Location": {tt.location}, "X-Other": {"1"}}
				want := header.Clone()
				base := &recorder{respond: func(r *http.Request) (*http.Response, error) {
					r.Body.Close()
					return &http.Response{StatusCode: status, Header: header, Body: http.NoBody}, nil
				}}
				tr := newTransport(t, newRetryTransport(base), portkey.Options{BaseURL: "http://gw.example"})
				req := newPost(t, t.Context())
				req.GetBody = tt.getBody
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if n := len(base.all()); resp.StatusCode != status || n != 1 {
					t.Errorf("got %d after %d attempts, want %d after 1", resp.StatusCode, n, status)
				}
				if !reflect.DeepEqual(resp.Header, want) {
					t.Errorf("got header %v, want %v", resp.Header, want)
				}
			})
		}
	}
}

func TestResponseOfTheGatewayIsNotRetried(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"x-portkey-trace-id", "x-portkey-request-id", "x-portkey-gateway-exception"} {
		for _, value := range []string{"", "true"} {
			t.Run(fmt.Sprintf("%s %q", key, value), func(t *testing.T) {
				s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set(key, value)
					w.Header().Set("Retry-After", "1")
					http.Error(w, "failed", http.StatusServiceUnavailable)
				})
				resp, body := do(t, newRetryClient(t, newRetryTransport(nil), s.URL), newPost(t, t.Context()))
				if resp.StatusCode != 503 || body != "failed\n" {
					t.Errorf("got %d %q, want the first response", resp.StatusCode, body)
				}
				if n := len(s.all()); n != 1 {
					t.Errorf("got %d attempts, want 1", n)
				}
			})
		}
	}
}

func TestStreamIsNotRetriedOnceItHasStarted(t *testing.T) {
	t.Parallel()
	firstEventRead := make(chan bool)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-firstEventRead
		panic(http.ErrAbortHandler)
	})
	resp, err := newRetryClient(t, newRetryTransport(nil), s.URL).Do(newPost(t, t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 9)
	if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "data: 1\n\n" {
		t.Errorf("got %q, %v, want the first event before the stream ends", buf, err)
	}
	close(firstEventRead)
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want io.ErrUnexpectedEOF", err)
	}
	if n := len(s.all()); n != 1 {
		t.Errorf("got %d attempts, want 1", n)
	}
}

func TestRetryReturnsAnUpgradedConnection(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.CopyN(c, rw, 4)
	}))
	defer s.Close()
	req := newRequest(t, t.Context(), "GET", "https://api.openai.com/v1/realtime", "")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := newRetryClient(t, newRetryTransport(nil), s.URL).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	conn, ok := resp.Body.(io.ReadWriter)
	if !ok {
		t.Fatalf("got a %T, want an io.ReadWriteCloser", resp.Body)
	}
	io.WriteString(conn, "ping")
	if got, err := io.ReadAll(conn); string(got) != "ping" || err != nil {
		t.Errorf("got %q, %v, want the echo", got, err)
	}
}

// A stalledBody never returns from Read, not even when it is closed, until the test
// has ended.
type stalledBody struct {
	*countingBody
	read chan struct{} // closed by the first Read
}

func newStalledBody(t *testing.T) stalledBody {
	b := stalledBody{newCountingBody(), make(chan struct{})}
	var once sync.Once
	b.Reader = readerFunc(func([]byte) (int, error) {
		once.Do(func() { close(b.read) })
		<-t.Context().Done()
		return 0, io.EOF
	})
	return b
}

// newRetryBase returns a base that answers 503 with each of the bodies, and then 200.
func newRetryBase(bodies ...io.ReadCloser) *recorder {
	base := new(recorder)
	base.respond = func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			r.Body.Close()
		}
		if i := len(base.all()) - 1; i < len(bodies) {
			return &http.Response{StatusCode: 503, Body: bodies[i]}, nil
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}
	return base
}

func TestResponseWithAStalledBodyIsRetried(t *testing.T) {
	t.Parallel()
	t.Run("connection", func(t *testing.T) {
		var n atomic.Int32
		connectionClosed := make(chan bool, 1)
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) > 1 {
				return
			}
			w.WriteHeader(503)
			io.WriteString(w, "too busy")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			connectionClosed <- true
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		resp, _ := do(t, newRetryClient(t, newRetryTransport(nil), s.URL), newPost(t, ctx))
		if resp.StatusCode != 200 {
			t.Errorf("got %d, want the second response", resp.StatusCode)
		}
		receive(t, connectionClosed, "the connection of the stalled response was not closed")
	})
	t.Run("Read that Close does not end", func(t *testing.T) {
		stalled := newStalledBody(t)
		c := newRetryClient(t, newRetryTransport(newRetryBase(stalled)), "http://gw.example")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		resp, _ := do(t, c, newPost(t, ctx))
		if resp.StatusCode != 200 {
			t.Errorf("got %d, want the second response", resp.StatusCode)
		}
		checkNoneLeft(t, "open bodies", func() int { return 1 - int(stalled.closed.Load()) })
	})
}

func TestRetryReadsAtMost4KiBOfAResponse(t *testing.T) {
	t.Parallel()
	long := strings.NewReader(strings.Repeat("x", 1<<20))
	body := newCountingBody()
	body.Reader = long
	c := newRetryClient(t, newRetryTransport(newRetryBase(body)), "http://gw.example")
	do(t, c, newPost(t, t.Context()))
	if read := 1<<20 - long.Len(); read != 4<<10 {
		t.Errorf("got %d bytes read, want 4096", read)
	}
	if n := body.closed.Load(); n != 1 {
		t.Errorf("the body was closed %d times, want 1", n)
	}
}

func TestRetryReusesTheConnectionOfAShortResponse(t *testing.T) {
	t.Parallel()
	conns := make(map[string]bool) // by the client's address
	respond := respondInTurn(503, 429, 200)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		conns[r.RemoteAddr] = true
		respond(w, r)
	})
	do(t, newRetryClient(t, newRetryTransport(nil), s.URL), newPost(t, t.Context()))
	if len(conns) != 1 {
		t.Errorf("got %d connections for 3 attempts, want 1", len(conns))
	}
}

func TestContextEndsTheReadingOfAResponseToRetry(t *testing.T) {
	t.Parallel()
	shortest := time.Hour
	for range 5 { // a try may take longer on a busy machine
		stalled := newStalledBody(t)
		rt := newRetryTransport(newRetryBase(stalled))
		rt.Client.RetryWaitMin, rt.Client.RetryWaitMax = time.Hour, time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		var canceled time.Time
		go func() {
			<-stalled.read
			canceled = time.Now()
			cancel()
		}()
		_, err := newRetryClient(t, rt, "http://gw.example").Do(newPost(t, ctx))
		shortest = min(shortest, time.Since(canceled))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", err)
		}
	}
	if shortest > 50*time.Millisecond {
		t.Errorf("the call ended %v after its context, want at once", shortest)
	}
}

func TestLastResponseIsTheOneOfTheBase(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		set          func(*retryablehttp.Client)
		wantAttempts int
	}{
		{"defaults", func(*retryablehttp.Client) {}, 3},
		{"RetryMax 0", func(c *retryablehttp.Client) { c.RetryMax = 0 }, 1},
		{"RetryMax -1", func(c *retryablehttp.Client) { c.RetryMax = -1 }, 1},
		{"no CheckRetry", func(c *retryablehttp.Client) { c.CheckRetry = nil }, 3},
		{"no Backoff", func(c *retryablehttp.Client) { c.Backoff = nil }, 3},
		{"no ErrorHandler", func(c *retryablehttp.Client) { c.ErrorHandler = nil }, 3},
		{"zero Client", func(c *retryablehttp.Client) { *c = retryablehttp.Client{HTTPClient: c.HTTPClient} }, 1},
		{"ErrorHandler", func(c *retryablehttp.Client) {
			c.ErrorHandler = func(resp *http.Response, _ error, _ int) (*http.Response, error) { return resp, nil }
		}, 3},
		{"CheckRetry that refuses", func(c *retryablehttp.Client) {
			c.CheckRetry = func(context.Context, *http.Response, error) (bool, error) { return false, nil }
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bodies := []io.ReadCloser{newCountingBody(), newCountingBody(), newCountingBody()}
			last := newStalledBody(t)
			bodies[tt.wantAttempts-1] = last
			base := newRetryBase(bodies...)
			rt := newRetryTransport(base)
			tt.set(rt.Client)
			tr := newTransport(t, rt, portkey.Options{BaseURL: "http://gw.example"})
			resp, err := tr.RoundTrip(newPost(t, t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(base.all()); n != tt.wantAttempts {
				t.Errorf("got %d attempts, want %d", n, tt.wantAttempts)
			}
			if resp.Body != io.ReadCloser(last) {
				t.Errorf("got body %T, want the one of the base's last response", resp.Body)
			}
			select {
			case <-last.read:
				t.Error("the body of the last response was read")
			default:
			}
			if last.closed.Load() != 0 {
				t.Error("the body of the last response was closed")
			}
		})
	}
}

func TestResponseLogHookCanReadAResponseToRetry(t *testing.T) {
	t.Parallel()
	s := newServer(t, respondInTurn(503, 200))
	rt := newRetryTransport(nil)
	var got []string
	rt.Client.ResponseLogHook = func(_ retryablehttp.Logger, resp *http.Response) {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, string(body))
	}
	do(t, newRetryClient(t, rt, s.URL), newPost(t, t.Context()))
	if want := []string{"response 1", "response 2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGetBodyWithoutABodyIsAnError(t *testing.T) {
	t.Parallel()
	response := newCountingBody()
	base := newRetryBase(response)
	req := newPost(t, t.Context())
	req.GetBody = func() (io.ReadCloser, error) { return nil, nil }
	tr := newTransport(t, newRetryTransport(base), portkey.Options{BaseURL: "http://gw.example"})
	resp, err := tr.RoundTrip(req)
	if resp != nil || err == nil || !strings.HasPrefix(err.Error(), "portkey: Request.GetBody ") {
		t.Errorf("got %v, %v, want an error that names Request.GetBody", resp, err)
	}
	if n := len(base.all()); n != 1 {
		t.Errorf("got %d attempts, want 1", n)
	}
	if n := response.closed.Load(); n != 1 {
		t.Errorf("the body of the response was closed %d times, want 1", n)
	}
}

func TestPanicDuringARetryClosesAllBodies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		set  func(*retryablehttp.Client, *http.Request, *countingBody)
	}{
		{"GetBody", func(_ *retryablehttp.Client, r *http.Request, _ *countingBody) {
			r.GetBody = func() (io.ReadCloser, error) { panic("GetBody") }
		}},
		{"RequestLogHook", func(c *retryablehttp.Client, _ *http.Request, _ *countingBody) {
			c.RequestLogHook = func(retryablehttp.Logger, *http.Request, int) { panic("RequestLogHook") }
		}},
		{"RequestLogHook of a retry", func(c *retryablehttp.Client, _ *http.Request, _ *countingBody) {
			c.RequestLogHook = func(_ retryablehttp.Logger, _ *http.Request, retry int) {
				if retry > 0 {
					panic("RequestLogHook of a retry")
				}
			}
		}},
		{"CheckRetry", func(c *retryablehttp.Client, _ *http.Request, _ *countingBody) {
			c.CheckRetry = func(context.Context, *http.Response, error) (bool, error) { panic("CheckRetry") }
		}},
		{"ResponseLogHook", func(c *retryablehttp.Client, _ *http.Request, _ *countingBody) {
			c.ResponseLogHook = func(retryablehttp.Logger, *http.Response) { panic("ResponseLogHook") }
		}},
		{"response body", func(_ *retryablehttp.Client, _ *http.Request, response *countingBody) {
			response.Reader = readerFunc(func([]byte) (int, error) { panic("response body") })
		}},
		{"Backoff", func(c *retryablehttp.Client, _ *http.Request, _ *countingBody) {
			c.Backoff = func(time.Duration, time.Duration, int, *http.Response) time.Duration { panic("Backoff") }
		}},
		{"PrepareRetry", func(c *retryablehttp.Client, _ *http.Request, _ *countingBody) {
			c.PrepareRetry = func(*http.Request) error { panic("PrepareRetry") }
		}},
		{"ErrorHandler", func(c *retryablehttp.Client, _ *http.Request, _ *countingBody) {
			c.RetryMax = 0
			c.ErrorHandler = func(*http.Response, error, int) (*http.Response, error) { panic("ErrorHandler") }
		}},
		{"Logger of an unsupported type", func(c *retryablehttp.Client, _ *http.Request, _ *countingBody) {
			c.Logger = "Logger of an unsupported type"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var opened openedBodies
			response := newCountingBody()
			base := newRetryBase(response)
			rt := newRetryTransport(base)
			req := newRequest(t, t.Context(), "POST", openAIChat, "")
			req.Body, _ = opened.open()
			req.GetBody = opened.open
			tt.set(rt.Client, req, response)
			tr := newTransport(t, rt, portkey.Options{BaseURL: "http://gw.example"})
			func() {
				defer func() {
					if p := recover(); p == nil {
						t.Error("the panic did not reach the caller")
					}
				}()
				tr.RoundTrip(req)
			}()
			for i, body := range opened {
				if n := body.closed.Load(); n != 1 {
					t.Errorf("request body %d was closed %d times, want 1", i+1, n)
				}
			}
			if n := response.closed.Load(); len(base.all()) > 0 && n != 1 {
				t.Errorf("the body of the response was closed %d times, want 1", n)
			}
		})
	}
}

func TestBaseWithoutAResponseUnderRetries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		resp       *http.Response
		wantStatus int // 0: an error
	}{
		{"no response", nil, 0},
		{"no body", &http.Response{StatusCode: 503}, 503},
		{"no body, but a length", &http.Response{StatusCode: 503, ContentLength: 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := &recorder{respond: func(r *http.Request) (*http.Response, error) {
				r.Body.Close()
				return tt.resp, nil
			}}
			tr := newTransport(t, newRetryTransport(base), portkey.Options{BaseURL: "http://gw.example"})
			resp, err := tr.RoundTrip(newPost(t, t.Context()))
			switch {
			case tt.wantStatus == 0:
				if resp != nil || err == nil {
					t.Errorf("got %v, %v, want an error", resp, err)
				}
			case err != nil:
				t.Errorf("got %v, want the response", err)
			case resp.StatusCode != tt.wantStatus || resp.Body == nil:
				t.Errorf("got %d with body %v, want %d with an empty body", resp.StatusCode, resp.Body, tt.wantStatus)
			}
		})
	}
}

func TestRetryNeverReturnsAResponseWithAnError(t *testing.T) {
	t.Parallel()
	errFailed := errors.New("failed")
	for _, tt := range []struct {
		name       string
		fail       func(*retryablehttp.Client, *http.Request)
		wantClosed bool // the body of the base's last response
	}{
		{"GetBody", func(_ *retryablehttp.Client, r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, errFailed }
		}, true},
		{"CheckRetry", func(c *retryablehttp.Client, _ *http.Request) {
			c.CheckRetry = func(context.Context, *http.Response, error) (bool, error) { return true, errFailed }
		}, true},
		{"PrepareRetry", func(c *retryablehttp.Client, _ *http.Request) {
			c.PrepareRetry = func(*http.Request) error { return errFailed }
		}, true},
		// An ErrorHandler has to close the body.
		{"ErrorHandler", func(c *retryablehttp.Client, _ *http.Request) {
			c.ErrorHandler = func(*http.Response, error, int) (*http.Response, error) {
				return &http.Response{}, errFailed
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var last *countingBody
			rt := newRetryTransport(&recorder{respond: func(r *http.Request) (*http.Response, error) {
				r.Body.Close()
				last = newCountingBody()
				return &http.Response{StatusCode: 503, Body: last}, nil
			}})
			req := newPost(t, t.Context())
			tt.fail(rt.Client, req)
			resp, err := newTransport(t, rt, portkey.Options{BaseURL: "http://gw.example"}).RoundTrip(req)
			if resp != nil || err != errFailed {
				t.Errorf("got %v, %v, want nil, %v", resp, err, errFailed)
			}
			if tt.wantClosed && last.closed.Load() == 0 {
				t.Error("the body of the response was not closed")
			}
		})
	}
}

func TestRetryHooksCannotChangeTheCallersRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t, respondInTurn(503, 200))
	rt := newRetryTransport(nil)
	rt.Client.PrepareRetry = func(r *http.Request) error {
		r.Header.Set("X-Signature", "new")
		return nil
	}
	tr := newTransport(t, rt, portkey.Options{
		BaseURL: "http://gw.example", Filter: func(*http.Request) bool { return false },
	})
	req := newRequest(t, t.Context(), "POST", s.URL+"/x", "{}")
	req.Header.Set("X-Signature", "old")
	header, body := req.Header.Clone(), req.Body
	do(t, &http.Client{Transport: tr}, req)
	attempts := s.all()
	if len(attempts) != 2 {
		t.Fatalf("got %d attempts, want 2", len(attempts))
	}
	for i, want := range []string{"old", "new"} {
		if got := attempts[i].header.Get("X-Signature"); got != want {
			t.Errorf("attempt %d: got signature %q, want %q", i+1, got, want)
		}
	}
	if !reflect.DeepEqual(req.Header, header) || req.Body != body || req.ContentLength != 2 {
		t.Errorf("the request was changed: %v", req)
	}
}

func TestAllFieldsOfARetryClientAreUsed(t *testing.T) {
	t.Parallel()
	var got []string
	record := func(event string) { got = append(got, event) }
	base := &recorder{respond: func(r *http.Request) (*http.Response, error) {
		record("attempt")
		return &http.Response{StatusCode: 503, Body: http.NoBody}, nil
	}}
	rt := &retryablehttp.RoundTripper{Client: &retryablehttp.Client{}}
	tr := newTransport(t, rt, portkey.Options{BaseURL: "http://gw.example"})
	// Fields that are set after NewTransport are used too.
	*rt.Client = retryablehttp.Client{
		HTTPClient:      &http.Client{Jar: recordingJar(record), Transport: base},
		Logger:          slog.New(slog.NewTextHandler(recordingWriter(record), &slog.HandlerOptions{Level: slog.LevelDebug})),
		RetryWaitMin:    1,
		RetryWaitMax:    2,
		RetryMax:        1,
		RequestLogHook:  func(retryablehttp.Logger, *http.Request, int) { record("request") },
		ResponseLogHook: func(retryablehttp.Logger, *http.Response) { record("response") },
		CheckRetry: func(context.Context, *http.Response, error) (bool, error) {
			record("check")
			return true, nil
		},
		Backoff: func(min, max time.Duration, _ int, _ *http.Response) time.Duration {
			record(fmt.Sprint("wait ", min, max))
			return 0
		},
		PrepareRetry: func(*http.Request) error {
			record("prepare")
			return nil
		},
		ErrorHandler: func(resp *http.Response, _ error, n int) (*http.Response, error) {
			record(fmt.Sprint("handle ", n))
			return resp, nil
		},
	}
	resp, err := tr.RoundTrip(newPost(t, t.Context()))
	if err != nil || resp.StatusCode != 503 {
		t.Errorf("got %v, %v, want the response of the ErrorHandler", resp, err)
	}
	attempt := []string{"request", "cookies", "attempt", "check", "response"}
	want := slices.Concat(
		[]string{"log"}, attempt, []string{"wait 1ns 2ns", "log", "prepare"}, attempt, []string{"handle 2"},
	)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	exported := 0
	for _, f := range reflect.VisibleFields(reflect.TypeFor[retryablehttp.Client]()) {
		if f.IsExported() {
			exported++
		}
	}
	if exported != 11 {
		t.Errorf("got %d exported fields of retryablehttp.Client, want 11: copy the new ones and test them here", exported)
	}
}

type recordingWriter func(event string)

func (record recordingWriter) Write(p []byte) (int, error) { record("log"); return len(p), nil }

// A recordingJar is a http.CookieJar that is always empty.
type recordingJar func(event string)

func (record recordingJar) Cookies(*url.URL) []*http.Cookie     { record("cookies"); return nil }
func (record recordingJar) SetCookies(*url.URL, []*http.Cookie) {}

func TestRetryTransportWithoutAClientReusesConnections(t *testing.T) {
	t.Parallel()
	noHTTPClient := &retryablehttp.Client{CheckRetry: portkey.RetryPolicy, Backoff: portkey.RetryBackoff}
	for name, rt := range map[string]*retryablehttp.RoundTripper{
		"no Client":     {},
		"no HTTPClient": {Client: noHTTPClient},
	} {
		t.Run(name, func(t *testing.T) {
			conns := make(map[string]bool) // by the client's address
			s := newServer(t, func(_ http.ResponseWriter, r *http.Request) { conns[r.RemoteAddr] = true })
			c := newRetryClient(t, rt, s.URL)
			for range 3 {
				do(t, c, newPost(t, t.Context()))
			}
			if len(conns) != 1 {
				t.Errorf("got %d connections for 3 calls, want 1", len(conns))
			}
			c.CloseIdleConnections()
			do(t, c, newPost(t, t.Context()))
			if len(conns) != 2 {
				t.Errorf("got %d connections after CloseIdleConnections, want 2", len(conns))
			}
			c.CloseIdleConnections()
		})
	}
	if noHTTPClient.HTTPClient != nil {
		t.Error("the caller's retryablehttp.Client was changed")
	}
}

// A closeIdleRecorder also counts the calls of CloseIdleConnections.
type closeIdleRecorder struct {
	recorder
	closeIdleCalls atomic.Int32
}

func (r *closeIdleRecorder) CloseIdleConnections() { r.closeIdleCalls.Add(1) }

func TestFailedCallsDoNotCloseIdleConnections(t *testing.T) {
	t.Parallel()
	s := newServer(t, respondInTurn(503))
	base := &closeIdleRecorder{recorder: recorder{respond: loopback.RoundTrip}}
	c := newRetryClient(t, newRetryTransport(base), s.URL)
	do(t, c, newPost(t, t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(newPost(t, ctx)); err == nil {
		t.Error("got no error for a canceled context")
	}
	if n := base.closeIdleCalls.Load(); n != 0 {
		t.Errorf("got %d calls of the base's CloseIdleConnections after failed calls, want 0", n)
	}
	c.CloseIdleConnections()
	if n := base.closeIdleCalls.Load(); n != 1 {
		t.Errorf("got %d calls of the base's CloseIdleConnections, want 1", n)
	}
}

func TestRetryLeavesNoGoroutines(t *testing.T) { // not parallel: it counts goroutines
	before := runtime.NumGoroutine()
	func() {
		var n atomic.Int32
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			switch n.Add(1) % 4 {
			case 0:
				panic(http.ErrAbortHandler)
			case 1:
				w.WriteHeader(503)
			default:
				w.Write(body)
			}
		}))
		defer s.Close()
		rt := newRetryTransport(&http.Transport{})
		rt.Client.RetryMax = 100
		c := newRetryClient(t, rt, s.URL)
		defer c.CloseIdleConnections()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for j := range 8 {
					want := fmt.Sprint(i, " ", j)
					resp, err := c.Post(openAIChat, "application/json", strings.NewReader(want))
					if err != nil {
						t.Error(err)
						continue
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if string(got) != want || err != nil {
						t.Errorf("got %q, %v, want %q", got, err, want)
					}
				}
			}()
		}
		wg.Wait()
	}()
	checkNoneLeft(t, "goroutines", func() int { return runtime.NumGoroutine() - before })
}

// newOuterRetryClient returns a retryablehttp.Client above a Transport. Its counter
// counts the attempts.
func newOuterRetryClient(t *testing.T, gateway string) (*http.Client, *atomic.Int32) {
	t.Helper()
	attempts := new(atomic.Int32)
	c := retryablehttp.NewClient()
	c.Logger, c.RetryWaitMin, c.RetryWaitMax = nil, 1, 1
	c.CheckRetry, c.Backoff = portkey.RetryPolicy, portkey.RetryBackoff
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.RequestLogHook = func(retryablehttp.Logger, *http.Request, int) { attempts.Add(1) }
	c.HTTPClient.Transport = newTransport(t, nil, portkey.Options{
		BaseURL: gateway, Headers: portkey.Headers{APIKey: secret},
	})
	return c.StandardClient(), attempts
}

func TestAttemptsOfAnOuterRetryClientShareATraceID(t *testing.T) {
	t.Parallel()
	s := newServer(t, respondInTurn(503, 503, 200))
	c, _ := newOuterRetryClient(t, s.URL)
	ctx, traceID := portkey.WithNewTrace(t.Context())
	resp, _ := do(t, c, newPost(t, ctx))
	attempts := s.all()
	if resp.StatusCode != 200 || len(attempts) != 3 {
		t.Fatalf("got %d after %d attempts, want 200 after 3", resp.StatusCode, len(attempts))
	}
	for i, got := range attempts {
		if got.body != "{}" {
			t.Errorf("attempt %d: got body %q, want {}", i+1, got.body)
		}
		if ids := got.header["X-Portkey-Trace-Id"]; !reflect.DeepEqual(ids, []string{traceID}) {
			t.Errorf("attempt %d: got trace IDs %q, want %q", i+1, ids, traceID)
		}
	}
}

func TestErrorsOfTheTransportAreNotRetriedByAnOuterRetryClient(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	t.Run("HeaderError", func(t *testing.T) {
		c, attempts := newOuterRetryClient(t, s.URL)
		_, err := c.Do(newPost(t, portkey.WithTrace(t.Context(), "a\nb")))
		checkHeaderError(t, errors.Unwrap(err), "x-portkey-trace-id")
		if n := attempts.Load(); n != 1 {
			t.Errorf("got %d attempts, want 1", n)
		}
	})
	t.Run("RouteError", func(t *testing.T) {
		c, attempts := newOuterRetryClient(t, s.URL)
		_, err := c.Do(newRequest(t, t.Context(), "POST", "http://elsewhere.example", "{}"))
		if !errors.As(err, new(*portkey.RouteError)) {
			t.Errorf("got %v, want a RouteError", err)
		}
		if n := attempts.Load(); n != 1 {
			t.Errorf("got %d attempts, want 1", n)
		}
	})
}
