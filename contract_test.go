package portkey_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/portkey-go/portkey"
)

func TestCallersRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	outcomes := []struct {
		name    string
		respond func(*http.Request) (*http.Response, error)
	}{
		{"success", nil},
		{"error", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }},
		{"panic", func(*http.Request) (*http.Response, error) { panic("base") }},
		{"base changes the URL", func(r *http.Request) (*http.Response, error) {
			r.URL.Path = "/changed"
			return nil, io.EOF
		}},
		{"base changes URL and header", func(r *http.Request) (*http.Response, error) {
			for key, values := range r.Header {
				values[0] = "changed"
				r.Header[key] = append(values, "more")
			}
			r.URL.Path = "/changed"
			r.Header.Set("New", "x")
			return nil, io.ErrUnexpectedEOF
		}},
	}
	targets := []struct {
		name, url string
		wantCalls int
	}{
		{"provider", openAIChat, 2},
		{"gateway", "http://gw.example/v1/x", 2},
		{"unknown host", "https://refused.example/v1/x", 0},
	}
	for _, outcome := range outcomes {
		for _, target := range targets {
			t.Run(outcome.name+"/"+target.name, func(t *testing.T) {
				base := &recorder{respond: outcome.respond}
				tr := newTransport(t, base, portkey.Options{
					BaseURL: "http://gw.example/v1",
					Headers: portkey.Headers{APIKey: "pk", VirtualKey: "vk", Metadata: portkey.Metadata{"a": "1"}},
				})
				req := newRequest(t, portkey.WithTrace(t.Context(), "t1"), "POST", target.url, "{}")
				req.Header = http.Header{
					"Authorization": {"Bearer sk"}, "x-portkey-metadata": {`{"b":"2"}`},
					"X-Multi": {"1", "2"}, "X-Nil": nil,
				}
				req.Trailer = http.Header{"X-Later": nil}
				before, header, url := *req, req.Header.Clone(), *req.URL
				for range 2 {
					func() {
						defer func() { recover() }()
						tr.RoundTrip(req)
					}()
				}
				if calls := len(base.all()); calls != target.wantCalls {
					t.Errorf("got %d calls of the base, want %d", calls, target.wantCalls)
				}
				if !reflect.DeepEqual(req.Header, header) || *req.URL != url {
					t.Errorf("got %v %v, want %v %v", req.URL, req.Header, &url, header)
				}
				after := *req
				after.Header, before.Header = nil, nil
				before.GetBody, after.GetBody = nil, nil // functions cannot be compared
				if !reflect.DeepEqual(before, after) {
					t.Errorf("got %+v, want %+v", after, before)
				}
			})
		}
	}
}

func TestOtherHeadersAreSentUnchanged(t *testing.T) {
	t.Parallel()
	want := http.Header{
		"Accept": {"a", "b"}, "x-odd-Spelling": {"1"}, "User-Agent": nil, "Cookie": {"c=1"}, "X-Latin": {"\xe9"},
	}
	base := new(recorder)
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example/v1", NewTraceID: noTrace})
	req := newRequest(t, t.Context(), "GET", "http://gw.example/v1/models", "")
	req.Header = want.Clone()
	tr.RoundTrip(req)
	if got := base.last(t).Header; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The body must be the same value, not a wrapper: net/http compares it with
// http.NoBody and looks for io.WriterTo.
func TestOtherRequestFieldsReachTheBaseUnchanged(t *testing.T) {
	t.Parallel()
	type contextKey struct{}
	ctx := portkey.WithTrace(context.WithValue(t.Context(), contextKey{}, "v"), "t1")
	changed := []string{"URL", "Host", "Header"}
	unused := []string{"RemoteAddr", "RequestURI", "Response"} // by clients, except Response in redirects
	for _, target := range []string{openAIChat, "http://gw.example/v1/x"} {
		t.Run(target, func(t *testing.T) {
			req := newRequest(t, ctx, "PATCH", target, "{}")
			req.ContentLength, req.TransferEncoding, req.Close = 2, []string{"identity"}, true
			req.Trailer, req.Pattern, req.TLS = http.Header{"X-Later": nil}, "/", &tls.ConnectionState{}
			req.Form, req.PostForm = url.Values{"a": {"1"}}, url.Values{"a": {"1"}}
			req.MultipartForm = &multipart.Form{}
			req.Cancel = make(chan struct{}) //lint:ignore SA1019 http.Client sets it for unknown transports
			base := new(recorder)
			tr := newTransport(t, base, portkey.Options{
				BaseURL: "http://gw.example/v1", Headers: portkey.Headers{APIKey: "pk"},
			})
			tr.RoundTrip(req)
			sent := base.last(t)
			for _, field := range reflect.VisibleFields(reflect.TypeFor[http.Request]()) {
				if !field.IsExported() || slices.Contains(changed, field.Name) || slices.Contains(unused, field.Name) {
					continue
				}
				got := reflect.ValueOf(sent).Elem().FieldByIndex(field.Index)
				want := reflect.ValueOf(req).Elem().FieldByIndex(field.Index)
				if want.IsZero() {
					t.Fatalf("%s is zero in the request: the test must set it", field.Name)
				}
				same := reflect.DeepEqual(got.Interface(), want.Interface())
				switch field.Type.Kind() {
				case reflect.Func, reflect.Map: // the same map: the client fills in trailers while it sends the body
					same = got.Pointer() == want.Pointer()
				}
				if !same {
					t.Errorf("got %s %v, want %v", field.Name, got, want)
				}
			}
			if sent.Context() != ctx {
				t.Errorf("got context %v, want the caller's", sent.Context())
			}
		})
	}
}

func TestNilHeaderIsAccepted(t *testing.T) {
	t.Parallel()
	base := new(recorder)
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{APIKey: "pk"}})
	req := newRequest(t, t.Context(), "GET", "http://gw.example", "")
	req.Header = nil
	defer func() {
		if v := recover(); v != nil {
			t.Errorf("got panic %v, want none", v)
		}
	}()
	if _, err := tr.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if req.Header != nil {
		t.Errorf("got the caller's header changed to %v, want nil", req.Header)
	}
	if got := base.last(t).Header.Get("X-Portkey-Api-Key"); got != "pk" {
		t.Errorf("got key %q, want pk", got)
	}
}

func TestAppendingToOneHeaderDoesNotChangeAnother(t *testing.T) {
	t.Parallel()
	base := new(recorder)
	tr := newTransport(t, base, portkey.Options{
		BaseURL: "http://gw.example", Headers: portkey.Headers{APIKey: "pk", Provider: "openai", SpanID: "s"},
	})
	tr.RoundTrip(newRequest(t, t.Context(), "GET", "http://gw.example", ""))
	header := base.last(t).Header
	if len(header) < 3 {
		t.Fatalf("got headers %v, want at least 3", header)
	}
	for _, values := range header {
		_ = append(values, "more")
	}
	for key, values := range header {
		if len(values) != 1 || values[0] == "more" {
			t.Errorf("%s: got %q after append to the other headers, want it unchanged", key, values)
		}
	}
}

func TestRequestsDoNotShareHeaderValues(t *testing.T) {
	t.Parallel()
	base := new(recorder)
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{
		APIKey: "pk", Config: portkey.ConfigSlug("pc-1"), Metadata: portkey.Metadata{"a": "b"},
		Extra: map[string]string{"X-E": "e"},
	}})
	ctx := portkey.WithHeaders(portkey.WithTrace(t.Context(), "t1"), portkey.Headers{SpanID: "s"})
	req := newRequest(t, ctx, "GET", openAIChat, "")
	req.Header = http.Header{"Accept": {"a"}, "x-portkey-debug": {"true"}}

	tr.RoundTrip(req)
	first := base.last(t).Header
	for _, values := range first {
		values[0] = "changed"
		_ = append(values, "more")
	}
	for key, values := range first {
		if values[0] != "changed" {
			t.Errorf("%s: got %q after append to the other headers, want changed", key, values)
		}
	}

	tr.RoundTrip(req)
	for key, values := range base.last(t).Header {
		if slices.Contains(values, "changed") || slices.Contains(values, "more") {
			t.Errorf("%s: got %q in the second request, want its own value", key, values)
		}
	}
}

// An append by the base would write into the spare capacity of a slice that it
// shared with the caller.
func TestSpareCapacityOfCallersHeaderIsNotWritten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ key, value string }{
		{"Accept", "a"}, {"x-odd", "a"}, {"Authorization", "a"}, {"x-portkey-SPAN-id", "a"},
		{"X-Portkey-Metadata", `{"b":"2"}`}, {"X-Portkey-Forward-Headers", "X-A"},
	} {
		t.Run(tt.key, func(t *testing.T) {
			base := new(recorder)
			tr := newTransport(t, base, portkey.Options{
				BaseURL: "http://gw.example", Headers: portkey.Headers{Metadata: portkey.Metadata{"a": "1"}},
			})
			array := [4]string{tt.value}
			before := array
			req := newRequest(t, t.Context(), "GET", "http://gw.example", "")
			req.Header = http.Header{tt.key: array[:1]}
			tr.RoundTrip(req)
			for _, values := range base.last(t).Header {
				_ = append(values, "more")
			}
			if array != before {
				t.Errorf("got %q, want %q", array, before)
			}
		})
	}
}

// Request.WithContext makes requests share one header.
func TestConcurrentRequestsMayShareAHeader(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["X-Portkey-Trace-Id"], r.Header["X-Portkey-Metadata"], r.Header["X-Portkey-Span-Id"])
	})
	c := newClient(t, s, portkey.Options{})
	shared := newRequest(t, t.Context(), "GET", s.URL+"/v1/x", "")
	shared.Header.Set("X-Shared", "1")
	call := func(i int) {
		id := fmt.Sprintf("<call-%d>", i)
		ctx := portkey.WithTrace(portkey.WithMetadata(t.Context(), portkey.Metadata{"id": id}), id)
		resp, err := c.Do(shared.WithContext(portkey.WithHeaders(ctx, portkey.Headers{SpanID: id})))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		if n, all := strings.Count(string(got), id), strings.Count(string(got), "<call-"); n == 0 || n != all {
			t.Errorf("%s: got %s, want no value of another call", id, got)
		}
	}
	call(1)
	call(2)
	if t.Failed() {
		return // concurrent calls would write to the map at the same time, which ends the process
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			call(i)
		}()
	}
	wg.Wait()
	if want := (http.Header{"X-Shared": {"1"}}); !reflect.DeepEqual(shared.Header, want) {
		t.Errorf("got shared header %v, want %v", shared.Header, want)
	}
}

func TestTrailersSetWhileBodyIsReadAreSent(t *testing.T) {
	t.Parallel()
	var got string
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) { got = r.Trailer.Get("X-Sum") })
	req := newRequest(t, t.Context(), "POST", openAIChat, "")
	req.Trailer = http.Header{"X-Sum": nil}
	req.ContentLength = -1
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("{}"), readerFunc(func([]byte) (int, error) {
		req.Trailer.Set("X-Sum", "abc")
		return 0, io.EOF
	})))
	do(t, newClient(t, s, portkey.Options{}), req)
	if got != "abc" {
		t.Errorf("got trailer %q, want abc", got)
	}
}

func TestBodyIsClosedOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	opts := portkey.Options{BaseURL: s.URL + "/v1"}
	unreachable := portkey.Options{BaseURL: "http://127.0.0.1:1/v1"}
	passThrough := portkey.Options{BaseURL: "http://gw.example", Filter: func(*http.Request) bool { return false }}
	invalidTraceID := portkey.Options{BaseURL: s.URL, NewTraceID: func(context.Context) string { return "a\nb" }}
	withTrace := portkey.WithTrace(t.Context(), "a\nb")
	withMetadata := portkey.WithMetadata(t.Context(), portkey.Metadata{"k": strings.Repeat("x", 129)})
	withHeaders := portkey.WithHeaders(t.Context(), portkey.Headers{SpanID: "a\nb"})
	twoTraceIDs := http.Header{"X-Portkey-Trace-Id": {"a", "b"}}
	failingSource := portkey.Options{BaseURL: s.URL, APIKeySource: func(context.Context) (string, error) { return "", io.EOF }}
	largeConfig := http.Header{"X-Portkey-Config": {`{"a":"` + strings.Repeat("x", 20000) + `"}`}}
	fromGateway := &http.Response{Request: newRequest(t, t.Context(), "POST", s.URL, "")}
	tests := []struct {
		name     string
		url      string
		opts     portkey.Options
		ctx      context.Context // nil: t.Context()
		header   http.Header
		response *http.Response // the redirect that led to the request
		wantErr  bool
	}{
		{name: "provider", url: openAIChat, opts: opts},
		{name: "gateway", url: s.URL + "/v1/x", opts: opts},
		{name: "passed through", url: s.URL + "/x", opts: passThrough},
		{name: "unknown host", url: "https://llm.example.com", opts: opts, wantErr: true},
		{name: "invalid trace ID in the context", url: openAIChat, opts: opts, ctx: withTrace, wantErr: true},
		{name: "invalid trace ID from NewTraceID", url: openAIChat, opts: invalidTraceID, wantErr: true},
		{name: "error of APIKeySource", url: openAIChat, opts: failingSource, wantErr: true},
		{name: "invalid metadata in the context", url: openAIChat, opts: opts, ctx: withMetadata, wantErr: true},
		{name: "invalid header in the context", url: openAIChat, opts: opts, ctx: withHeaders, wantErr: true},
		{name: "invalid header on the request", url: openAIChat, opts: opts, header: twoTraceIDs, wantErr: true},
		{name: "header too large", url: openAIChat, opts: opts, header: largeConfig, wantErr: true},
		{name: "error of the base", url: openAIChat, opts: unreachable, wantErr: true},
		{name: "redirect away from the gateway", url: "http://elsewhere.example", opts: opts,
			response: fromGateway, wantErr: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx
			}
			body := newCountingBody()
			req := newRequest(t, ctx, "POST", tt.url, "")
			req.Body, req.ContentLength, req.Response = body, 2, tt.response
			maps.Copy(req.Header, tt.header)
			resp, err := newTransport(t, nil, tt.opts).RoundTrip(req)
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			if (err != nil) != tt.wantErr {
				t.Errorf("got error %v, want error: %t", err, tt.wantErr)
			}
			if got := body.closed.Load(); got != 1 {
				t.Errorf("got body closed %d times, want 1", got)
			}
		})
	}
}

func TestBodyIsClosedIfACallbackPanics(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]portkey.Options{
		"Filter":       {Filter: func(*http.Request) bool { panic("Filter") }},
		"NewTraceID":   {NewTraceID: func(context.Context) string { panic("NewTraceID") }},
		"APIKeySource": {APIKeySource: func(context.Context) (string, error) { panic("APIKeySource") }},
	} {
		t.Run(name, func(t *testing.T) {
			opts.BaseURL = "http://gw.example"
			tr := newTransport(t, notCalled(t), opts)
			body := newCountingBody()
			req := newRequest(t, t.Context(), "POST", openAIChat, "")
			req.Body = body
			func() {
				defer func() {
					if got := recover(); got != name {
						t.Errorf("got panic %v, want %s", got, name)
					}
				}()
				tr.RoundTrip(req)
			}()
			if got := body.closed.Load(); got != 1 {
				t.Errorf("got body closed %d times, want 1", got)
			}
		})
	}
}

func TestExpectContinueWaitsForTheServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		handler     http.HandlerFunc
		wantStatus  int
		wantBody    string
		wantReqRead bool
	}{
		// Reading the body makes the server send 100 Continue.
		{"100 Continue", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
		}, http.StatusOK, "{}", true},
		{"417 Expectation Failed", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusExpectationFailed)
		}, http.StatusExpectationFailed, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.handler) // newServer would read the body
			t.Cleanup(s.Close)
			base := &http.Transport{ExpectContinueTimeout: time.Hour}
			t.Cleanup(base.CloseIdleConnections)
			c := &http.Client{Transport: newTransport(t, base, portkey.Options{BaseURL: s.URL + "/v1"})}
			reqRead, closed := false, make(chan struct{}, 9)
			req := newRequest(t, t.Context(), "POST", openAIChat, "")
			req.ContentLength = 2
			req.Header.Set("Expect", "100-continue")
			req.Body = struct {
				io.Reader
				io.Closer
			}{
				io.MultiReader(
					readerFunc(func([]byte) (int, error) { reqRead = true; return 0, io.EOF }),
					strings.NewReader("{}"),
				),
				closerFunc(func() error { closed <- struct{}{}; return nil }),
			}
			resp, body := do(t, c, req)
			<-closed
			if resp.StatusCode != tt.wantStatus || body != tt.wantBody {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, tt.wantStatus, tt.wantBody)
			}
			if reqRead != tt.wantReqRead {
				t.Errorf("got request body read: %t, want %t", reqRead, tt.wantReqRead)
			}
			if len(closed) > 0 {
				t.Error("got request body closed more than once, want once")
			}
		})
	}
}

func TestZeroTransportFails(t *testing.T) {
	t.Parallel()
	body := newCountingBody()
	req := newRequest(t, t.Context(), "POST", openAIChat, "")
	req.Body = body
	if got := fmt.Sprint(new(portkey.Transport)); got != "portkey.Transport{}" {
		t.Errorf("got %q printed, want portkey.Transport{}", got)
	}
	if _, err := new(portkey.Transport).RoundTrip(req); err == nil {
		t.Error("got no error, want one")
	}
	if got := body.closed.Load(); got != 1 {
		t.Errorf("got body closed %d times, want 1", got)
	}
	new(portkey.Transport).CloseIdleConnections() // does not panic
	(*portkey.Transport)(nil).CloseIdleConnections()
}

func TestRequestWithoutURLFails(t *testing.T) {
	t.Parallel()
	body := newCountingBody()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
	if _, err := tr.RoundTrip(&http.Request{Method: "POST", Body: body}); err == nil {
		t.Error("got no error, want one")
	}
	if got := body.closed.Load(); got != 1 {
		t.Errorf("got body closed %d times, want 1", got)
	}
}

func TestResponseAndErrorOfTheBaseAreReturnedUnchanged(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		resp *http.Response
		err  error
	}{
		{"response", &http.Response{StatusCode: 418, Body: http.NoBody}, nil},
		{"io.ErrUnexpectedEOF", nil, io.ErrUnexpectedEOF},
		{"http.ErrSchemeMismatch", nil, http.ErrSchemeMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := &recorder{respond: func(*http.Request) (*http.Response, error) { return tt.resp, tt.err }}
			tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"})
			resp, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", "http://gw.example", ""))
			if err != tt.err || resp != tt.resp {
				t.Errorf("got %v, %v, want %v, %v", resp, err, tt.resp, tt.err)
			}
		})
	}
}

// Redirects, authentication and retries are up to the client.
func TestEveryStatusIsReturnedAfterOneCall(t *testing.T) {
	t.Parallel()
	for _, status := range []int{
		200, 204, 301, 302, 304, 307, 308, 400, 401, 403, 404, 407, 408, 429, 500, 501, 502, 503, 504, 529,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			header := http.Header{
				"Location": {"/v1/further"}, "Retry-After": {"0"},
				"Www-Authenticate": {"Basic"}, "X-Portkey-Trace-Id": {"t1"},
			}
			base := &recorder{respond: func(r *http.Request) (*http.Response, error) {
				body := io.NopCloser(strings.NewReader("body"))
				return &http.Response{StatusCode: status, Header: header.Clone(), Body: body, Request: r}, nil
			}}
			c := &http.Client{
				Transport:     newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"}),
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}
			resp, body := do(t, c, newRequest(t, t.Context(), "POST", "http://gw.example", "{}"))
			if resp.StatusCode != status || body != "body" || !reflect.DeepEqual(resp.Header, header) {
				t.Errorf("got %d %v %q, want %d %v %q", resp.StatusCode, resp.Header, body, status, header, "body")
			}
			if calls := len(base.all()); calls != 1 {
				t.Errorf("got %d calls, want 1", calls)
			}
		})
	}
}

func TestResponseRequestIsTheSentRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{Headers: portkey.Headers{APIKey: "pk"}})
	resp, _ := do(t, c, newRequest(t, t.Context(), "GET", openAIChat, ""))
	if got, want := resp.Request.URL.String(), s.URL+"/v1/chat/completions"; got != want {
		t.Errorf("got URL %s, want %s", got, want)
	}
	if got := resp.Request.Header.Get("X-Portkey-Api-Key"); got != "pk" {
		t.Errorf("got key %q, want pk", got)
	}
}

// net/http and its users compare errors of the base by type and identity;
// http.Client does so without errors.As.
func TestBaseErrorsKeepTheirTypeAndIdentity(t *testing.T) {
	t.Parallel()
	plain := newServer(t, nil)
	secure := newTLSServer(t, nil)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name, gateway string
		ctx           context.Context
		matches       func(error) bool
	}{
		{"http.ErrSchemeMismatch", strings.Replace(plain.URL, "http:", "https:", 1), t.Context(),
			func(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) }},
		{"tls.CertificateVerificationError", secure.URL, t.Context(),
			func(err error) bool { return errors.As(err, new(*tls.CertificateVerificationError)) }},
		{"net.OpError", "http://127.0.0.1:1", t.Context(),
			func(err error) bool { return errors.As(err, new(*net.OpError)) }},
		{"context.Canceled", plain.URL, canceled,
			func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &http.Client{Transport: newTransport(t, nil, portkey.Options{BaseURL: tt.gateway})}
			if _, err := c.Do(newRequest(t, tt.ctx, "POST", openAIChat, "{}")); !tt.matches(err) {
				t.Errorf("got %v, want a %s", err, tt.name)
			}
		})
	}
}

func TestTimeoutAndCancellationEndTheCall(t *testing.T) {
	t.Parallel()
	const after = 200 * time.Millisecond
	for _, tt := range []struct {
		name  string
		start func(*http.Client, *http.Request) (*http.Request, context.CancelFunc)
		check func(*testing.T, error)
	}{
		{"http.Client.Timeout", func(c *http.Client, req *http.Request) (*http.Request, context.CancelFunc) {
			c.Timeout = after
			return req, func() {}
		}, checkTimeout},
		{"deadline", func(_ *http.Client, req *http.Request) (*http.Request, context.CancelFunc) {
			ctx, cancel := context.WithTimeout(req.Context(), after)
			return req.WithContext(ctx), cancel
		}, func(t *testing.T, err error) {
			checkTimeout(t, err)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
			}
		}},
		{"Request.Cancel", func(_ *http.Client, req *http.Request) (*http.Request, context.CancelFunc) {
			canceled := make(chan struct{})
			req.Cancel = canceled //lint:ignore SA1019 http.Client sets it for unknown transports
			timer := time.AfterFunc(after, func() { close(canceled) })
			return req, func() { timer.Stop() }
		}, func(t *testing.T, err error) {
			if err == nil {
				t.Error("got no error, want one")
			}
		}},
	} {
		for _, streaming := range []bool{false, true} {
			name := tt.name + " before the response"
			if streaming {
				name = tt.name + " during the response"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
					if streaming {
						io.WriteString(w, "data: first\n\n")
						w.(http.Flusher).Flush()
					}
					select {
					case <-r.Context().Done():
					case <-time.After(10 * time.Second): // let a test that failed end
					}
				})
				c := newClient(t, s, portkey.Options{})
				req, stop := tt.start(c, newRequest(t, t.Context(), "POST", openAIChat, "{}"))
				defer stop()
				resp, err := c.Do(req)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				tt.check(t, err)
			})
		}
	}
}

func checkTimeout(t *testing.T, err error) {
	t.Helper()
	var netErr net.Error
	if !errors.As(err, &netErr) || !netErr.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestStreamIsNotBuffered(t *testing.T) {
	t.Parallel()
	firstRead := make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		select {
		case <-firstRead:
			io.WriteString(w, "data: last\n\n")
		case <-time.After(10 * time.Second): // let a test that failed end
		}
	})
	resp, err := newClient(t, s, portkey.Options{}).Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, len("data: first\n\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	close(firstRead)
	rest, err := io.ReadAll(resp.Body)
	if got, want := string(first)+string(rest), "data: first\n\ndata: last\n\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestUpgradedConnectionIsWritable(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	})
	req := newRequest(t, t.Context(), "GET", "https://api.openai.com/v1/realtime?model=m", "")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := newClient(t, s, portkey.Options{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("got body %T, want an io.ReadWriteCloser", resp.Body)
	}
	io.WriteString(rw, "hello\n")
	if got, _ := io.ReadAll(rw); string(got) != "echo hello\n" {
		t.Errorf("got %q, want %q", got, "echo hello\n")
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	plain := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+"\n")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "abc")
	})
	s := httptest.NewUnstartedServer(plain.Config.Handler)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	tr := newTransport(t, s.Client().Transport, portkey.Options{
		BaseURL: s.URL + "/v1", NewTraceID: noTrace,
		Headers: portkey.Headers{APIKey: "pk", Metadata: portkey.Metadata{"a": "é"}},
	})
	req := newRequest(t, t.Context(), "POST", openAIChat, "{}")
	req.Header["x-PORTKEY-api-key"] = []string{"own"}
	req.Header["Connection"] = []string{"keep-alive"} // not allowed in HTTP/2: net/http omits it
	resp, body := do(t, &http.Client{Transport: tr}, req)
	if resp.ProtoMajor != 2 || body != "HTTP/2.0\n" {
		t.Errorf("got response %s to request %q, want HTTP/2.0 for both", resp.Proto, body)
	}
	if got := resp.Trailer.Get("X-Sum"); got != "abc" {
		t.Errorf("got trailer %q, want abc", got)
	}
	got := plain.last(t)
	want := http.Header{
		"X-Portkey-Api-Key": {"own"}, "X-Portkey-Provider": {"openai"}, "X-Portkey-Metadata": {`{"a":"\u00e9"}`},
	}
	if h := got.portkeyHeaders(); !reflect.DeepEqual(h, want) || got.body != "{}" {
		t.Errorf("got headers %v and body %q, want %v and {}", h, got.body, want)
	}
}

func TestStackedTransportsSendEachHeaderOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	inner := portkey.Options{BaseURL: s.URL + "/v1", Headers: portkey.Headers{
		APIKey: "inner", Metadata: portkey.Metadata{"a": "inner", "b": "inner"},
	}}
	outer := portkey.Options{BaseURL: s.URL + "/v1", Headers: portkey.Headers{
		APIKey: "outer", Metadata: portkey.Metadata{"a": "outer"},
	}}
	c := &http.Client{Transport: newTransport(t, newTransport(t, nil, inner), outer)}
	do(t, c, newRequest(t, portkey.WithTrace(t.Context(), "t1"), "GET", openAIChat, ""))
	want := http.Header{
		"X-Portkey-Api-Key": {"outer"}, "X-Portkey-Trace-Id": {"t1"}, "X-Portkey-Provider": {"openai"},
		"X-Portkey-Metadata": {`{"a":"outer","b":"inner"}`},
	}
	if got := s.last(t).portkeyHeaders(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConcurrentCallsGetTheirOwnHeadersAndResponseInfo(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Portkey-Trace-Id", r.Header.Get("X-Portkey-Trace-Id"))
		io.WriteString(w, r.Header.Get("X-Portkey-Metadata"))
	})
	c := newClient(t, s, portkey.Options{Headers: portkey.Headers{
		APIKey: "pk", Metadata: portkey.Metadata{"all": "x"},
	}})
	shared := portkey.WithMetadata(t.Context(), portkey.Metadata{"shared": "y"})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			id := fmt.Sprint("call-", i, strings.Repeat("x", i))
			var info portkey.ResponseInfo
			ctx := portkey.WithResponseInfo(portkey.WithTrace(shared, id), &info)
			ctx = portkey.WithMetadata(ctx, portkey.Metadata{"id": id})
			req, err := http.NewRequestWithContext(ctx, "POST", openAIChat, strings.NewReader("{}"))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if want := `{"all":"x","id":"` + id + `","shared":"y"}`; string(body) != want || info.TraceID != id {
				t.Errorf("got metadata %s and trace %s, want %s and %s", body, info.TraceID, want, id)
			}
		}()
	}
	wg.Wait()
}

// replaceDefaultTransport sets http.DefaultTransport for the rest of the test,
// which must not be parallel.
func replaceDefaultTransport(t *testing.T, rt http.RoundTripper) {
	t.Helper()
	old := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = old })
	http.DefaultTransport = rt
}

func TestTransportsWithoutABaseShareConnections(t *testing.T) {
	replaceDefaultTransport(t, loopback) // so that no other test uses the clone
	const calls = 50                     // at a time; net/http keeps 2 connections
	arrived := make(chan struct{})
	var waiting sync.WaitGroup
	connections := make(map[string]bool)
	var mu sync.Mutex
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		arrived <- struct{}{}
		waiting.Wait()
	})
	bases := map[string]func() http.RoundTripper{
		"nil":                    func() http.RoundTripper { return nil },
		"NewRetryTransport(nil)": func() http.RoundTripper { return portkey.NewRetryTransport(nil) },
		"retryablehttp": func() http.RoundTripper {
			return &retryablehttp.RoundTripper{Client: &retryablehttp.Client{HTTPClient: &http.Client{}, CheckRetry: portkey.RetryPolicy}}
		},
	}
	for name, base := range bases {
		c := &http.Client{Transport: newTransport(t, base(), portkey.Options{BaseURL: s.URL})}
		waiting.Add(1)
		var done sync.WaitGroup
		for range calls {
			done.Add(1)
			go func() {
				defer done.Done()
				resp, err := c.Do(newRequest(t, t.Context(), "GET", s.URL, ""))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}()
		}
		for range calls {
			<-arrived
		}
		waiting.Done()
		done.Wait()
		if len(connections) != calls {
			t.Errorf("base %s: got %d connections so far, want %d", name, len(connections), calls)
		}
	}
	(&http.Client{Transport: newTransport(t, nil, portkey.Options{BaseURL: s.URL})}).CloseIdleConnections()
}

func TestTransportMayBecomeHTTPDefaultTransport(t *testing.T) {
	for name, base := range map[string]http.RoundTripper{"nil": nil, "NewRetryTransport(nil)": portkey.NewRetryTransport(nil)} {
		t.Run("base "+name, func(t *testing.T) {
			s := newServer(t, nil)
			replaceDefaultTransport(t, newTransport(t, base, portkey.Options{BaseURL: s.URL}))
			resp, err := http.Get(openAIChat)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if n := len(s.all()); n != 1 {
				t.Errorf("got %d requests, want 1", n)
			}
		})
	}
}

func TestDefaultTransportOfAnotherTypeIsUsedItself(t *testing.T) {
	base := new(idleCloser)
	replaceDefaultTransport(t, base)
	tr := newTransport(t, nil, portkey.Options{BaseURL: "http://gw.example"})
	http.DefaultTransport = notCalled(t) // a later value does not count
	if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", "http://gw.example", "")); err != nil {
		t.Error(err)
	}
	if n := len(base.all()); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
	(&http.Client{Transport: tr}).CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("got %d calls of CloseIdleConnections, want 1", base.closed)
	}
}

// An idleCloser is a recorder that counts the calls of CloseIdleConnections.
type idleCloser struct {
	recorder
	closed int
}

func (c *idleCloser) CloseIdleConnections() { c.closed++ }

func TestCloseIdleConnectionsReachesTheBase(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{BaseURL: "http://gw.example"}
	t.Run("through two Transports", func(t *testing.T) {
		base := new(idleCloser)
		c := &http.Client{Transport: newTransport(t, newTransport(t, base, opts), opts)}
		c.CloseIdleConnections()
		if base.closed != 1 {
			t.Errorf("got %d calls, want 1", base.closed)
		}
	})
	t.Run("base without the method", func(t *testing.T) {
		c := &http.Client{Transport: newTransport(t, new(recorder), opts)}
		c.CloseIdleConnections() // does not panic
	})
}
