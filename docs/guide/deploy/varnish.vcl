# Reelgate behind Varnish: one request for each part however many watch it, sockets and events. Varnish speaks no TLS:
# something that does stands before it. As /etc/varnish/default.vcl; run by the tests with Varnish 7.1.
vcl 4.1;

backend reelgate {
    .host = "127.0.0.1";
    .port = "8081";
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}

sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.X-Reelgate-Wanted;
    }
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    if (req.http.X-Reelgate-Wanted) {
        return (hash); # it was let in
    }
    # Parts, segments and inits are everybody's, and so are reloads without a token of one viewer.
    if ((req.method == "GET" || req.method == "HEAD") && (
            req.url ~ "^/live/[^/?]+/(part-[0-9]+\.m4s|segment-[0-9]+\.m4s|init-[0-9a-f]+\.mp4)(\?|$)"
            || (req.url ~ "^/live/[^/?]+/media\.m3u8\?(.*&)?_HLS_msn=" && req.url !~ "[?&]token="))) {
        # The kept answers say `private` where keys are needed: each request is checked first, and then they are shared.
        set req.http.X-Reelgate-Wanted = req.url;
        set req.url = regsub(req.url, "^(/live/[^/?]+)/[^?]*", "\1/access");
    }
    return (pass);
}

sub vcl_hash {
    hash_data(regsub(regsuball(req.url, "([?&])token=[^&]*(&|$)", "\1"), "[?&]$", "")); # without the token
    return (lookup);
}

sub vcl_backend_response {
    if (bereq.http.X-Reelgate-Wanted && !bereq.uncacheable) {
        unset beresp.http.Set-Cookie;
        set beresp.grace = 0s;
        if (beresp.status != 200 || beresp.http.Cache-Control !~ "max-age") {
            set beresp.uncacheable = true;
            set beresp.ttl = 1s; # so long nobody waits for somebody else's answer
        }
        return (deliver);
    }
}

sub vcl_deliver {
    if (req.http.X-Reelgate-Wanted && req.restarts == 0 && resp.status == 204) {
        set req.url = req.http.X-Reelgate-Wanted;
        return (restart);
    }
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}
