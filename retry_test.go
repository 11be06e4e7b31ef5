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

// newRetry returns a retrying base that hardly waits.
func newRetry(base http.RoundTripper) *retryablehttp.RoundTripper {
	rt := portkey.NewRetryTransport(base)
	rt.Client.RetryWaitMin, rt.Client.RetryWaitMax = time.Millisecond, time.Millisecond
	return rt
}

func newRetryClient(t *testing.T, rt http.RoundTripper, gateway string) *http.Client {
	t.Helper()
	return &http.Client{Transport: newTransport(t, rt, portkey.Options{BaseURL: gateway, Headers: portkey.Headers{APIKey: secret}})}
}

// inTurn answers with one status after the other, and then with the last.
func inTurn(statuses ...int) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1))
		w.WriteHeader(statuses[min(i, len(statuses))-1])
		fmt.Fprintf(w, "answer %d", i)
	}
}

// A counter counts what goes through it.
type counter struct {
	http.RoundTripper
	calls, closed atomic.Int32
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.calls.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func (c *counter) CloseIdleConnections() { c.closed.Add(1) }

// within fails the test if ch is not ready in time.
func within[T any](t *testing.T, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(20 * time.Second):
		t.Fatal("timed out: " + what)
	}
	return v
}

func TestAttemptsAreOneTraceAndSendEachHeaderOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, inTurn(503, 429, 200))
	tr := newTransport(t, newRetry(nil), portkey.Options{BaseURL: s.URL + "/v1", Headers: portkey.Headers{
		APIKey: secret, Config: portkey.ConfigSlug("pc-1"), Metadata: portkey.Metadata{"a": "1"},
	}})
	ctx := portkey.WithMetadata(t.Context(), portkey.Metadata{"b": "2"})
	var info portkey.ResponseInfo
	ctx = portkey.WithResponseInfo(ctx, &info)
	resp, body := do(t, &http.Client{Transport: tr}, newRequest(t, ctx, "POST", openAIChat, "{}"))
	if resp.StatusCode != 200 || body != "answer 3" {
		t.Errorf("got %d %q, want 200 and the third answer", resp.StatusCode, body)
	}
	all := s.all()
	if len(all) != 3 {
		t.Fatalf("got %d attempts, want 3", len(all))
	}
	for i, got := range all {
		if !reflect.DeepEqual(got, all[0]) {
			t.Errorf("attempt %d: got %v, want what the first sent: %v", i+1, got, all[0])
		}
		for key, values := range got.header {
			if len(values) != 1 {
				t.Errorf("attempt %d: got %s %d times", i+1, key, len(values))
			}
		}
	}
	if h := all[0].header; len(h.Get("X-Portkey-Trace-Id")) != 36 || h.Get("X-Portkey-Metadata") != `{"a":"1","b":"2"}` {
		t.Errorf("got %v, want a trace ID and the metadata", h)
	}
}

func TestRetryReplaysWholeBodies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 100_000)
	var form bytes.Buffer
	mw := multipart.NewWriter(&form)
	part, _ := mw.CreateFormFile("file", "a.wav")
	io.WriteString(part, long)
	mw.Close()
	opened := func(length int64) func(*http.Request) {
		return func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(long)), nil }
			r.Body, _ = r.GetBody()
			r.ContentLength = length
		}
	}
	for _, tt := range []struct {
		name   string
		body   io.Reader
		set    func(*http.Request)
		want   string
		length int64
	}{
		{"JSON", strings.NewReader(`{"model":"gpt"}`), nil, `{"model":"gpt"}`, 15},
		{"multipart", &form, nil, form.String(), int64(form.Len())},
		{"GetBody", nil, opened(int64(len(long))), long, int64(len(long))},
		{"GetBody of unknown length", nil, opened(-1), long, -1},
		{"none", nil, nil, "", 0},
		{"NoBody", http.NoBody, nil, "", 0},
	} {
		var lengths []int64
		respond := inTurn(500, 502, 200)
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			lengths = append(lengths, r.ContentLength)
			respond(w, r)
		})
		req, err := http.NewRequestWithContext(t.Context(), "POST", openAIChat, tt.body)
		if err != nil {
			t.Fatal(err)
		}
		if tt.set != nil {
			tt.set(req)
		}
		do(t, newRetryClient(t, newRetry(nil), s.URL), req)
		for i, got := range s.all() {
			if got.body != tt.want {
				t.Errorf("%s, attempt %d: got %d bytes, want %d", tt.name, i+1, len(got.body), len(tt.want))
			}
		}
		if want := []int64{tt.length, tt.length, tt.length}; !reflect.DeepEqual(lengths, want) {
			t.Errorf("%s: got lengths %v, want %v", tt.name, lengths, want)
		}
	}
}

// A trackedBody knows whether it was read, and how often it was closed.
type trackedBody struct {
	io.Reader
	read, closed atomic.Int32
}

func (b *trackedBody) Read(p []byte) (int, error) { b.read.Add(1); return b.Reader.Read(p) }
func (b *trackedBody) Close() error               { b.closed.Add(1); return nil }

func TestRetryReopensBodiesAndCopiesNone(t *testing.T) {
	t.Parallel()
	for _, getBody := range []bool{true, false} {
		var bodies []*trackedBody
		open := func() (io.ReadCloser, error) {
			bodies = append(bodies, &trackedBody{Reader: strings.NewReader("{}")})
			return bodies[len(bodies)-1], nil
		}
		attempts := 0
		rt := newRetry(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			attempts++
			if n := len(bodies); n != attempts {
				t.Errorf("attempt %d: %d bodies were opened", attempts, n)
			}
			if r.Body != io.ReadCloser(bodies[attempts-1]) || bodies[attempts-1].read.Load() != 0 {
				t.Errorf("attempt %d: got body %T, want the one that was opened for it, unread", attempts, r.Body)
			}
			if (r.GetBody != nil) != getBody {
				t.Errorf("attempt %d: got GetBody %t, want %t", attempts, r.GetBody != nil, getBody)
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			return nil, io.ErrUnexpectedEOF
		}))
		req := newRequest(t, t.Context(), "POST", openAIChat, "")
		req.Body, _ = open()
		if getBody {
			req.GetBody = open
		}
		_, err := newTransport(t, rt, portkey.Options{BaseURL: "http://gw.example"}).RoundTrip(req)
		if want := map[bool]int{true: 3, false: 1}[getBody]; attempts != want || err != io.ErrUnexpectedEOF {
			t.Errorf("GetBody %t: got %d attempts and %v, want %d and the base's own error", getBody, attempts, err, want)
		}
		for i, b := range bodies {
			if b.closed.Load() != 1 {
				t.Errorf("GetBody %t: body %d was closed %d times", getBody, i+1, b.closed.Load())
			}
		}
	}
}

func TestBodyThatCannotBeReopenedIsSentAsItIsReadAndOnce(t *testing.T) {
	t.Parallel()
	users := &retryablehttp.RoundTripper{Client: retryablehttp.NewClient()}
	users.Client.Logger, users.Client.ErrorHandler = nil, retryablehttp.PassthroughErrorHandler
	for name, rt := range map[string]http.RoundTripper{"ours": newRetry(nil), "a user's": users} {
		var attempts atomic.Int32
		first, all := make(chan string, 5), make(chan string, 5)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			attempts.Add(1)
			buf := make([]byte, 5)
			io.ReadFull(r.Body, buf)
			first <- string(buf)
			rest, _ := io.ReadAll(r.Body)
			all <- string(buf) + string(rest)
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
		within(t, first, name+": the body's beginning did not arrive before its end was written")
		io.WriteString(pw, " and last")
		pw.Close()
		if err := within(t, result, "the call"); err != nil || status != 503 || string(body) != "too busy\n" {
			t.Errorf("%s: got %d %q, %v, want the response", name, status, body, err)
		}
		if got := <-all; got != "first and last" || attempts.Load() != 1 {
			t.Errorf("%s: got %q in %d attempts", name, got, attempts.Load())
		}
	}
}

func TestLastResponseSurvivesWithItsBody(t *testing.T) {
	t.Parallel()
	for _, status := range []int{408, 429, 500, 502, 503, 504, 529} {
		s := newServer(t, inTurn(status))
		resp, body := do(t, newRetryClient(t, newRetry(nil), s.URL), newRequest(t, t.Context(), "POST", openAIChat, "{}"))
		if resp.StatusCode != status || body != "answer 3" {
			t.Errorf("got %d %q, want %d and the third answer", resp.StatusCode, body, status)
		}
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
	cfg.HTTPClient = &http.Client{Transport: newRetry(nil)}
	cfg, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = openai.NewClientWithConfig(cfg).CreateChatCompletion(t.Context(), openai.ChatCompletionRequest{Model: "m"})
	var apiErr *openai.APIError
	if !errors.As(err, &apiErr) || apiErr.HTTPStatusCode != 429 || apiErr.Message != "slow down 3" {
		t.Errorf("got %v, want the API error of the third attempt", err)
	}
}

func TestNewRetryTransportsDefaults(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(307)
	})
	rt := portkey.NewRetryTransport(nil)
	c := rt.Client
	if c.RetryMax != 2 || c.RetryWaitMin != 500*time.Millisecond || c.RetryWaitMax != 8*time.Second || c.HTTPClient.Timeout != 0 {
		t.Errorf("got %d retries, %v to %v, timeout %v", c.RetryMax, c.RetryWaitMin, c.RetryWaitMax, c.HTTPClient.Timeout)
	}
	hour := &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"3600"}}}
	if got := c.Backoff(c.RetryWaitMin, c.RetryWaitMax, 0, hour); got != 8*time.Second {
		t.Errorf("got a wait of %v, want at most 8s", got)
	}
	// By itself, without a Transport above it.
	if resp, err := rt.RoundTrip(newRequest(t, t.Context(), "POST", s.URL, "{}")); err != nil || resp.StatusCode != 307 {
		t.Errorf("got %v, %v, want the redirect", resp, err)
	} else {
		resp.Body.Close()
	}
}

func TestRetryPolicy(t *testing.T) {
	t.Parallel()
	retried := map[int]bool{408: true, 429: true}
	for status := 100; status < 1000; status++ {
		want := retried[status] || status >= 500 && status != 501
		got, err := portkey.RetryPolicy(t.Context(), &http.Response{StatusCode: status}, nil)
		if got != want || err != nil {
			t.Errorf("%d: got %t, %v, want %t", status, got, err, want)
		}
	}
	for _, tt := range []struct {
		status int
		key    string
		value  string
		want   bool
	}{
		{503, "X-Portkey-Trace-Id", "", false}, // as the open-source gateway sends it
		{503, "X-Portkey-Trace-Id", "t", false},
		{429, "X-Portkey-Request-Id", "r", false},
		{500, "x-portkey-gateway-exception", "true", false},
		{503, "X-Portkey-Provider", "openai", true},
		{503, "X-Request-Id", "r", true},
		{409, "X-Should-Retry", "true", true},
		{200, "X-Should-Retry", "true", false},
		{503, "X-Should-Retry", "false", false},
		{503, "X-Should-Retry", "maybe", true},
	} {
		resp := &http.Response{StatusCode: tt.status, Header: http.Header{tt.key: {tt.value}}}
		if got, err := portkey.RetryPolicy(t.Context(), resp, nil); got != tt.want || err != nil {
			t.Errorf("%d, %s %q: got %t, %v, want %t", tt.status, tt.key, tt.value, got, err, tt.want)
		}
	}
	both := http.Header{"X-Should-Retry": {"true"}, "X-Portkey-Trace-Id": {""}}
	if got, _ := portkey.RetryPolicy(t.Context(), &http.Response{StatusCode: 503, Header: both}, nil); got {
		t.Error("a provider's x-should-retry went before the gateway's mark")
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, resp := range []*http.Response{nil, {StatusCode: 503}} {
		var cause error
		if resp == nil {
			cause = io.EOF
		}
		if got, err := portkey.RetryPolicy(ended, resp, cause); got || err != nil {
			t.Errorf("after the context: got %t, %v, want false, nil", got, err)
		}
	}
}

// A hiding error does not show what it wraps.
type hiding struct{ error }

func (hiding) Error() string   { return "failed" }
func (h hiding) Unwrap() error { return h.error }

func TestRetryPolicyOfErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{io.EOF, true},
		{syscall.ECONNREFUSED, true},
		{context.DeadlineExceeded, true}, // that of an attempt: the call's is still to come
		{errors.New("net/http: TLS handshake timeout"), true},
		{hiding{&portkey.HeaderError{}}, false},
		{hiding{&portkey.RouteError{}}, false},
		{errors.Join(io.EOF, tls.RecordHeaderError{}), false},
		{errors.Join(io.EOF, tls.AlertError(40)), false},
		{errors.Join(io.EOF, &tls.CertificateVerificationError{Err: io.EOF}), false},
		{hiding{http.ErrSchemeMismatch}, false},
		{&portkey.RouteError{}, false},
		{&portkey.HeaderError{}, false},
		{&net.DNSError{Name: "gateway-tls", Err: "no such host"}, true},
		{&net.DNSError{Name: "portkey", Err: "no such host"}, true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, false},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, false},
		{errors.New("net/http: invalid header field name"), false},
	} {
		got, err := portkey.RetryPolicy(t.Context(), nil, tt.err)
		if got != tt.want || err != nil {
			t.Errorf("%#v: got %t, %v, want %t", tt.err, got, err, tt.want)
		}
	}
	// What go-retryablehttp itself knows to be in vain, and tells by the text of a *url.Error.
	count := &counter{RoundTripper: &http.Transport{}}
	if _, err := newRetry(count).Client.Get("gopher://gw.example"); err == nil || count.calls.Load() != 1 {
		t.Errorf("got %v after %d attempts, want an error after one", err, count.calls.Load())
	}
}

func TestTLSAndInvalidHeaderErrorsGetOneAttempt(t *testing.T) {
	t.Parallel()
	standard := newTLSServer(t, nil)
	newest := newTLSServer(t, &tls.Config{MinVersion: tls.VersionTLS13})
	mutual := newTLSServer(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12})
	plain := newServer(t, nil)
	pool := x509.NewCertPool()
	pool.AddCert(standard.Certificate())
	remote := func(err error) bool {
		var op *net.OpError
		return errors.As(err, &op) && op.Op == "remote error"
	}
	for _, tt := range []struct {
		name, url string
		config    *tls.Config
		value     string
		is        func(error) bool
	}{
		{"unknown authority", standard.URL, nil, "", func(err error) bool {
			var cert *tls.CertificateVerificationError
			var unknown x509.UnknownAuthorityError
			return errors.As(err, &cert) && errors.As(err, &unknown)
		}},
		{"another's name", standard.URL, &tls.Config{RootCAs: pool, ServerName: "other.test"}, "", func(err error) bool {
			var host x509.HostnameError
			return errors.As(err, &host)
		}},
		{"plain HTTP", strings.Replace(plain.URL, "http:", "https:", 1), nil, "", func(err error) bool {
			return errors.Is(err, http.ErrSchemeMismatch)
		}},
		{"version", newest.URL, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}, "", remote},
		{"client certificate", mutual.URL, &tls.Config{RootCAs: pool}, "", remote},
		{"header", plain.URL, nil, secret + "\n", func(err error) bool {
			return strings.Contains(err.Error(), "invalid header") && !strings.Contains(err.Error(), secret)
		}},
	} {
		base := &http.Transport{TLSClientConfig: tt.config}
		defer base.CloseIdleConnections()
		count := &counter{RoundTripper: base}
		req := newRequest(t, t.Context(), "POST", openAIChat, "{}")
		req.Header.Set("X-Own", tt.value)
		resp, err := newRetryClient(t, newRetry(count), tt.url).Do(req)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: got %s, want an error", tt.name, resp.Status)
			continue
		}
		if n := count.calls.Load(); n != 1 || !tt.is(err) {
			t.Errorf("%s: got %d attempts and %v", tt.name, n, err)
		}
	}
}

func TestBrokenConnectionsAreTriedAgain(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) < 3 {
			panic(http.ErrAbortHandler)
		}
	})
	do(t, newRetryClient(t, newRetry(nil), s.URL), newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if all := s.all(); len(all) != 3 || all[2].body != "{}" {
		t.Errorf("got %v, want three attempts with the body", all)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	count := &counter{RoundTripper: http.DefaultTransport}
	_, err = newRetryClient(t, newRetry(count), "http://"+l.Addr().String()).Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if !errors.Is(err, syscall.ECONNREFUSED) || count.calls.Load() != 3 {
		t.Errorf("got %v after %d attempts, want a refused connection after 3", err, count.calls.Load())
	}
}

func TestRetryAfterIsHonouredUpToTheMaximum(t *testing.T) {
	t.Parallel()
	const lo, hi = 100 * time.Millisecond, 8 * time.Second
	backoff := [2]time.Duration{lo * 3 / 4, lo}
	exactly := func(d time.Duration) [2]time.Duration { return [2]time.Duration{d, d} }
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, tt := range []struct {
		after, ms string
		want      [2]time.Duration
	}{
		{after: "2", want: exactly(2 * time.Second)},
		{after: "1.5", want: exactly(1500 * time.Millisecond)},
		{after: "8", want: exactly(hi)},
		{after: "3600", want: exactly(hi)},
		{after: "9999999999", want: exactly(hi)},
		{after: "18446744074", want: exactly(hi)},
		{after: "9223372036854775808", want: exactly(hi)},
		{after: "1e400", want: exactly(hi)},
		{after: "+Inf", want: exactly(hi)},
		{after: strings.Repeat("9", 400), want: exactly(hi)},
		{after: date(time.Hour), want: exactly(hi)},
		{after: date(6 * time.Second), want: [2]time.Duration{time.Second, 6 * time.Second}},
		{after: "Fri, 31 Dec 9999 23:59:59 GMT", want: exactly(hi)},
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
		{ms: "250", want: exactly(250 * time.Millisecond)},
		{ms: "0.5", want: exactly(500 * time.Microsecond)},
		{ms: "3600000", want: exactly(hi)},
		{ms: "250", after: "2", want: exactly(250 * time.Millisecond)},
		{ms: "250", after: date(time.Hour), want: exactly(250 * time.Millisecond)},
		{ms: "soon", after: "2", want: exactly(2 * time.Second)},
		{ms: "-5", after: "2", want: exactly(2 * time.Second)},
		{ms: "0", after: "-1", want: backoff},
		{ms: "1e-9", want: backoff},
	} {
		for _, status := range []int{408, 429, 500, 503} {
			resp := &http.Response{StatusCode: status, Header: http.Header{}}
			resp.Header.Set("Retry-After", tt.after)
			resp.Header.Set("Retry-After-Ms", tt.ms)
			if got := portkey.RetryBackoff(lo, hi, 0, resp); got < tt.want[0] || got > tt.want[1] {
				t.Errorf("%d, Retry-After %.40q, retry-after-ms %q: got %v, want %v", status, tt.after, tt.ms, got, tt.want)
			}
		}
	}
	resp := &http.Response{Header: http.Header{"Retry-After": {"60"}}}
	for _, most := range []time.Duration{0, -1} {
		if got := portkey.RetryBackoff(lo, most, 0, resp); got != 0 {
			t.Errorf("at most %v: got %v, want 0", most, got)
		}
	}
	if got := portkey.RetryBackoff(lo, math.MaxInt64, 0, resp); got != time.Minute {
		t.Errorf("without a maximum: got %v, want 1m", got)
	}
}

func TestRetryBackoffDoublesUpToTheMaximum(t *testing.T) {
	t.Parallel()
	const most = time.Duration(math.MaxInt64)
	for _, tt := range []struct {
		min, max time.Duration
		attempt  int
		want     time.Duration // less up to a quarter
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
		{500 * time.Millisecond, most, 1000, most},
		{most, most, 0, most},
		{time.Minute, time.Second, 0, time.Second},
		{0, time.Second, 1000, 0},
		{-time.Second, time.Second, 3, 0},
		{time.Second, 0, 3, 0},
		{time.Second, -time.Second, 3, 0},
		{3, 3, 0, 3},
	} {
		for _, resp := range []*http.Response{nil, {StatusCode: 503}} {
			got := portkey.RetryBackoff(tt.min, tt.max, tt.attempt, resp)
			if got < tt.want-tt.want/4 || got > tt.want {
				t.Errorf("%v to %v, attempt %d: got %v, want %v less up to a quarter", tt.min, tt.max, tt.attempt, got, tt.want)
			}
		}
	}
}

func TestRetryBackoffJitters(t *testing.T) {
	t.Parallel()
	low, high := time.Hour, time.Duration(0)
	for range 1000 {
		d := portkey.RetryBackoff(time.Second, time.Minute, 0, nil)
		low, high = min(low, d), max(high, d)
	}
	if low < 750*time.Millisecond || low > 800*time.Millisecond || high < 950*time.Millisecond || high > time.Second {
		t.Errorf("got %v to %v, want about 750ms to 1s", low, high)
	}
}

func TestContextEndsTheWaitBetweenAttempts(t *testing.T) {
	t.Parallel()
	s := newServer(t, inTurn(503))
	waiting := func(end func()) *http.Client {
		rt := newRetry(nil)
		rt.Client.Backoff = func(time.Duration, time.Duration, int, *http.Response) time.Duration {
			end()
			return time.Hour
		}
		return newRetryClient(t, rt, s.URL)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := waiting(cancel).Do(newRequest(t, ctx, "POST", openAIChat, "{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if n := len(s.all()); n != 1 {
		t.Errorf("got %d attempts, want 1", n)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := waiting(func() {}).Do(newRequest(t, ctx, "POST", openAIChat, "{}")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}

	c := waiting(func() {})
	c.Timeout = 50 * time.Millisecond
	var timeout net.Error
	if _, err := c.Do(newRequest(t, t.Context(), "POST", openAIChat, "{}")); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestCancelledAttemptIsTheLast(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	count := &counter{RoundTripper: http.DefaultTransport}
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := newRetryClient(t, newRetry(count), s.URL).Do(newRequest(t, ctx, "POST", openAIChat, "{}"))
	if !errors.Is(err, context.Canceled) || count.calls.Load() != 1 {
		t.Errorf("got %v after %d attempts, want context.Canceled after 1", err, count.calls.Load())
	}
}

func TestRetryIsSilentWithoutALogger(t *testing.T) {
	t.Parallel()
	s := newServer(t, inTurn(503, 200))
	rt, hooks := newRetry(nil), 0
	rt.Client.RequestLogHook = func(l retryablehttp.Logger, _ *http.Request, _ int) {
		hooks++
		if l != nil {
			t.Errorf("got a logger: %T", l)
		}
	}
	do(t, newRetryClient(t, rt, s.URL), newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if hooks != 2 {
		t.Errorf("got %d calls of the hook, want 2", hooks)
	}
}

func TestRetryLogsThroughSlogWithoutSecrets(t *testing.T) {
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
	var out bytes.Buffer
	rt := newRetry(nil)
	rt.Client.Logger = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts := secretOptions()
	opts.BaseURL = s.URL
	tr := newTransport(t, rt, opts)
	req := newRequest(t, portkey.WithMetadata(t.Context(), portkey.Metadata{"k": secret}), "POST", openAIChat+"?page=2", secret)
	ownHeaders(req.Header)
	do(t, &http.Client{Transport: tr}, req)
	for _, want := range []string{`"msg":"performing request"`, `"msg":"request failed"`, `"msg":"retrying request"`, "page=2", "status: 503"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want it to contain %s", &out, want)
		}
	}
	if strings.Contains(out.String(), secret) || strings.Contains(strings.ToLower(out.String()), "x-portkey") {
		t.Errorf("a secret or a header was logged: %s", &out)
	}
}

func TestRetryFollowsNoRedirects(t *testing.T) {
	t.Parallel()
	users := &retryablehttp.RoundTripper{Client: retryablehttp.NewClient()} // follows redirects, of itself
	users.Client.Logger = nil
	own := *users.Client.HTTPClient
	for name, rt := range map[string]*retryablehttp.RoundTripper{"ours": newRetry(nil), "a user's": users} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			name := fmt.Sprint(name, ", ", status)
			var gw *server
			gw = newServer(t, redirectTo(status, map[string]func() string{"/x": func() string { return foreign(gw) + "/y" }}))
			var opened []*trackedBody
			open := func() (io.ReadCloser, error) {
				opened = append(opened, &trackedBody{Reader: strings.NewReader("{}")})
				return opened[len(opened)-1], nil
			}
			req := newRequest(t, t.Context(), "POST", gw.URL+"/x", "")
			req.Body, _ = open()
			req.GetBody, req.ContentLength = open, 2
			resp, err := newRetryClient(t, rt, gw.URL).Transport.RoundTrip(req)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			resp.Body.Close()
			if n := len(gw.all()); resp.StatusCode != status || n != 1 || resp.Header.Get("Location") == "" {
				t.Errorf("%s: got %d after %d requests, want the redirect itself", name, resp.StatusCode, n)
			}
			for i, b := range opened[1:] { // the first is net/http's to close, in its own time
				if b.closed.Load() == 0 {
					t.Errorf("%s: reopened body %d was not closed", name, i+1)
				}
			}
			if resp, err := newRetryClient(t, rt, gw.URL).Get(gw.URL + "/x"); err != nil {
				t.Errorf("%s: %v", name, err)
			} else {
				resp.Body.Close()
			}
			checkNoSecret(t, name, gw.last(t))
		}
	}
	if !reflect.DeepEqual(*users.Client.HTTPClient, own) {
		t.Error("the user's http.Client was changed")
	}
}

func TestWhatTheGatewayHasDealtWithIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"x-portkey-trace-id", "x-portkey-request-id", "x-portkey-gateway-exception"} {
		for _, value := range []string{"", "true"} {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(key, value)
				w.Header().Set("Retry-After", "1")
				http.Error(w, "failed", http.StatusServiceUnavailable)
			})
			resp, body := do(t, newRetryClient(t, newRetry(nil), s.URL), newRequest(t, t.Context(), "POST", openAIChat, "{}"))
			if n := len(s.all()); n != 1 || resp.StatusCode != 503 || body != "failed\n" {
				t.Errorf("%s %q: got %d %q after %d attempts, want the first answer", key, value, resp.StatusCode, body, n)
			}
		}
	}
}

func TestStreamIsNotTriedAgainOnceItHasBegun(t *testing.T) {
	t.Parallel()
	read := make(chan bool)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-read
		panic(http.ErrAbortHandler)
	})
	resp, err := newRetryClient(t, newRetry(nil), s.URL).Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 9)
	if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "data: 1\n\n" {
		t.Errorf("got %q, %v, want the first event while the stream goes on", buf, err)
	}
	close(read)
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want io.ErrUnexpectedEOF", err)
	}
	if n := len(s.all()); n != 1 {
		t.Errorf("got %d attempts, want 1", n)
	}
}

func TestRetryHandsBackAnUpgradedConnection(t *testing.T) {
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
	resp, err := newRetryClient(t, newRetry(nil), s.URL).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	rw, ok := resp.Body.(io.ReadWriter)
	if !ok {
		t.Fatalf("got a %T, want an io.ReadWriteCloser", resp.Body)
	}
	io.WriteString(rw, "ping")
	if got, err := io.ReadAll(rw); string(got) != "ping" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRetryNeverReturnsAResponseWithAnError(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for name, change := range map[string]func(*retryablehttp.Client, *http.Request){
		"GetBody": func(_ *retryablehttp.Client, r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, failed }
		},
		"CheckRetry": func(c *retryablehttp.Client, _ *http.Request) {
			c.CheckRetry = func(context.Context, *http.Response, error) (bool, error) { return true, failed }
		},
		"PrepareRetry": func(c *retryablehttp.Client, _ *http.Request) {
			c.PrepareRetry = func(*http.Request) error { return failed }
		},
		"ErrorHandler": func(c *retryablehttp.Client, _ *http.Request) {
			c.ErrorHandler = func(*http.Response, error, int) (*http.Response, error) { return &http.Response{}, failed }
		},
	} {
		var last *trackedBody
		rt := newRetry(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			r.Body.Close()
			last = &trackedBody{Reader: strings.NewReader("")}
			return &http.Response{StatusCode: 503, Body: last}, nil
		}))
		req := newRequest(t, t.Context(), "POST", openAIChat, "{}")
		change(rt.Client, req)
		resp, err := newTransport(t, rt, portkey.Options{BaseURL: "http://gw.example"}).RoundTrip(req)
		if resp != nil || err != failed {
			t.Errorf("%s: got %v, %v, want the error alone", name, resp, err)
		}
		if name != "ErrorHandler" && last.closed.Load() == 0 {
			t.Errorf("%s: the response's body was not closed", name)
		}
	}
}

func TestRetryHooksCannotChangeTheCallersRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t, inTurn(503, 200))
	rt := newRetry(nil)
	rt.Client.PrepareRetry = func(r *http.Request) error {
		r.Header.Set("X-Signature", "new")
		return nil
	}
	tr := newTransport(t, rt, portkey.Options{BaseURL: "http://gw.example", Filter: func(*http.Request) bool { return false }})
	req := newRequest(t, t.Context(), "POST", s.URL+"/x", "{}")
	req.Header.Set("X-Signature", "old")
	before, body := req.Header.Clone(), req.Body
	do(t, &http.Client{Transport: tr}, req)
	if all := s.all(); len(all) != 2 || all[0].header.Get("X-Signature") != "old" || all[1].header.Get("X-Signature") != "new" {
		t.Errorf("got %v, want the second attempt signed anew", all)
	}
	if !reflect.DeepEqual(req.Header, before) || req.Body != body || req.ContentLength != 2 {
		t.Errorf("the request was changed: %v", req)
	}
}

func TestFieldsOfAUsersRetryClientCount(t *testing.T) {
	t.Parallel()
	var got []string
	note := func(what string) { got = append(got, what) }
	rt := &retryablehttp.RoundTripper{Client: &retryablehttp.Client{}}
	c := newTransport(t, rt, portkey.Options{BaseURL: "http://gw.example"})
	*rt.Client = retryablehttp.Client{ // after NewTransport
		HTTPClient: &http.Client{Jar: noteJar(note), Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			note("attempt")
			return &http.Response{StatusCode: 503, Body: http.NoBody}, nil
		})},
		Logger:          slog.New(slog.NewTextHandler(noteWriter(note), &slog.HandlerOptions{Level: slog.LevelDebug})),
		RetryWaitMin:    1,
		RetryWaitMax:    2,
		RetryMax:        1,
		RequestLogHook:  func(retryablehttp.Logger, *http.Request, int) { note("request") },
		ResponseLogHook: func(retryablehttp.Logger, *http.Response) { note("response") },
		CheckRetry: func(context.Context, *http.Response, error) (bool, error) {
			note("check")
			return true, nil
		},
		Backoff: func(min, max time.Duration, _ int, _ *http.Response) time.Duration {
			note(fmt.Sprint("wait ", min, max))
			return 0
		},
		PrepareRetry: func(*http.Request) error {
			note("prepare")
			return nil
		},
		ErrorHandler: func(resp *http.Response, _ error, n int) (*http.Response, error) {
			note(fmt.Sprint("handle ", n))
			return resp, nil
		},
	}
	resp, err := c.RoundTrip(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if err != nil || resp.StatusCode != 503 {
		t.Errorf("got %v, %v, want the response of the handler", resp, err)
	}
	attempt := []string{"request", "cookies", "attempt", "check", "response"}
	want := append([]string{"log"}, attempt...)
	want = append(append(append(want, "wait 1ns 2ns", "log", "prepare"), attempt...), "handle 2")
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
		t.Errorf("retryablehttp.Client has %d exported fields: all have to be copied", exported)
	}
}

type noteWriter func(string)

func (n noteWriter) Write(p []byte) (int, error) { n("log"); return len(p), nil }

// A noteJar has no cookies.
type noteJar func(string)

func (n noteJar) Cookies(*url.URL) []*http.Cookie     { n("cookies"); return nil }
func (n noteJar) SetCookies(*url.URL, []*http.Cookie) {}

func TestRetryClientMayBeLeftEmpty(t *testing.T) {
	t.Parallel()
	noPool := &retryablehttp.Client{CheckRetry: portkey.RetryPolicy, Backoff: portkey.RetryBackoff}
	for name, rt := range map[string]*retryablehttp.RoundTripper{"no client": {}, "no HTTPClient": {Client: noPool}} {
		conns := make(map[string]bool)
		s := newServer(t, func(_ http.ResponseWriter, r *http.Request) { conns[r.RemoteAddr] = true })
		c := newRetryClient(t, rt, s.URL)
		for range 3 {
			do(t, c, newRequest(t, t.Context(), "POST", openAIChat, "{}"))
		}
		if len(conns) != 1 {
			t.Errorf("%s: got %d connections for 3 calls, want 1", name, len(conns))
		}
		c.CloseIdleConnections()
		do(t, c, newRequest(t, t.Context(), "POST", openAIChat, "{}"))
		if len(conns) != 2 {
			t.Errorf("%s: got %d connections, want 2: CloseIdleConnections did nothing", name, len(conns))
		}
		c.CloseIdleConnections()
	}
	if noPool.HTTPClient != nil {
		t.Error("the user's client was changed")
	}
}

func TestRetryUsesTheDefaultTransportOfTheMoment(t *testing.T) { // not parallel: it changes a global
	tr := newTransport(t, newRetry(nil), portkey.Options{BaseURL: "http://gw.example"})
	old := http.DefaultTransport
	defer func() { http.DefaultTransport = old }()
	mine := errors.New("tls: mine")
	http.DefaultTransport = roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, mine })
	if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", openAIChat, "")); err != mine {
		t.Errorf("got %v, want the new default's error", err)
	}
}

func TestIdleConnectionsAreClosedOnRequestAndNotByFailures(t *testing.T) {
	t.Parallel()
	s := newServer(t, inTurn(503))
	base := &counter{RoundTripper: http.DefaultTransport}
	c := newRetryClient(t, newRetry(base), s.URL)
	do(t, c, newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(newRequest(t, ctx, "POST", openAIChat, "{}")); err == nil {
		t.Error("got no error after the context")
	}
	if n := base.closed.Load(); n != 0 {
		t.Errorf("failed calls closed the idle connections %d times", n)
	}
	c.CloseIdleConnections()
	if n := base.closed.Load(); n != 1 {
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
		base := &http.Transport{}
		rt := newRetry(base)
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

func TestRetryClientAroundTheTransport(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%3 != 0 {
			w.WriteHeader(503)
		}
	})
	attempts := 0
	rc := retryablehttp.NewClient()
	rc.Logger, rc.RetryWaitMin, rc.RetryWaitMax = nil, 1, 1
	rc.CheckRetry, rc.Backoff, rc.ErrorHandler = portkey.RetryPolicy, portkey.RetryBackoff, retryablehttp.PassthroughErrorHandler
	rc.RequestLogHook = func(retryablehttp.Logger, *http.Request, int) { attempts++ }
	rc.HTTPClient.Transport = newTransport(t, nil, portkey.Options{BaseURL: s.URL, Headers: portkey.Headers{APIKey: secret}})
	c := rc.StandardClient()

	ctx, trace := portkey.WithNewTrace(t.Context())
	resp, _ := do(t, c, newRequest(t, ctx, "POST", openAIChat, "{}"))
	all := s.all()
	if resp.StatusCode != 200 || len(all) != 3 {
		t.Fatalf("got %d after %d attempts, want 200 after 3", resp.StatusCode, len(all))
	}
	for i, got := range all {
		if want := []string{trace}; got.body != "{}" || !reflect.DeepEqual(got.header["X-Portkey-Trace-Id"], want) {
			t.Errorf("attempt %d: got %q and trace %q, want %q", i+1, got.body, got.header["X-Portkey-Trace-Id"], want)
		}
	}

	// The Transport's own errors are not tried again.
	attempts = 0
	_, err := c.Do(newRequest(t, portkey.WithTrace(t.Context(), "a\nb"), "POST", openAIChat, "{}"))
	checkHeaderError(t, errors.Unwrap(err), "x-portkey-trace-id")
	_, err = c.Do(newRequest(t, t.Context(), "POST", "http://elsewhere.example", "{}"))
	var route *portkey.RouteError
	if !errors.As(err, &route) || attempts != 2 {
		t.Errorf("got %v, and %d attempts for 2 calls, want a RouteError and 2", err, attempts)
	}
}
