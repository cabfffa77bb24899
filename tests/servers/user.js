// With a proxy no name needs DNS: every http request goes to the service under test, which
// reads the absolute form of the request line as any HTTP/1.1 server must.
user_pref("marionette.port", {port});
user_pref("intl.locale.requested", "{language}");
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", {service});
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("mailnews.auto_config_url", "http://127.0.0.1:9/");
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("mail.spotlight.firstRunDone", true);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
