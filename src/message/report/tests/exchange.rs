//! Exchange's notices in the languages that it speaks, as text and as HTML, without the fields that should come with them.

use super::super::read;

/// What fails, why, what is for administrators, the server, and what comes before the headers.
const LANGUAGES: &[[&str; 5]] = &[
    [
        "Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Verteilerlisten:",
        "Die eingegebene E-Mail-Adresse wurde nicht gefunden. Überprüfen Sie die E-Mail-Adresse des Empfängers.",
        "Diagnoseinformationen für Administratoren:",
        "Generierender Server: ex1.x.example",
        "Ursprüngliche Nachrichtenkopfzeilen:",
    ],
    [
        "Échec de la remise pour ces destinataires ou groupes :",
        "L'adresse de messagerie que vous avez entrée est introuvable.",
        "Informations de diagnostic pour les administrateurs :",
        "Serveur de génération : ex1.x.example",
        "En-têtes de message d'origine :",
    ],
    [
        "Error de entrega a estos destinatarios o grupos:",
        "No se encontró la dirección de correo electrónico que especificó.",
        "Información de diagnóstico para los administradores:",
        "Generando servidor: ex1.x.example",
        "Encabezados de mensajes originales:",
    ],
    [
        "Recapito non riuscito per i destinatari o i gruppi seguenti:",
        "Indirizzo di posta elettronica immesso non trovato.",
        "Informazioni di diagnostica per gli amministratori:",
        "Server di generazione: ex1.x.example",
        "Intestazioni originali del messaggio:",
    ],
    [
        "Het is niet gelukt het bericht te bezorgen bij deze geadresseerden of groepen:",
        "Het opgegeven e-mailadres is niet gevonden.",
        "Diagnostische gegevens voor beheerders:",
        "Server die de fout genereert: ex1.x.example",
        "Oorspronkelijke berichtkoppen:",
    ],
    [
        "Falha na entrega a estes destinatários ou grupos:",
        "O endereço de email que você inseriu não pôde ser encontrado.",
        "Informações de diagnóstico para administradores:",
        "Gerando servidor: ex1.x.example",
        "Cabeçalhos de mensagem originais:",
    ],
    [
        "次の受信者またはグループへの配信に失敗しました:",
        "入力した電子メール アドレスが見つかりませんでした。",
        "管理者用の診断情報:",
        "生成元サーバー: ex1.x.example",
        "元のメッセージ ヘッダー:",
    ],
    ["向以下收件人或组的传递失败:", "找不到您输入的电子邮件地址。", "管理员诊断信息:", "正在生成服务器: ex1.x.example", "原始邮件标头:"],
    [
        "Сбой доставки следующим получателям или группам:",
        "Указанный адрес электронной почты не найден.",
        "Диагностические сведения для администраторов:",
        "Формирующий сервер: ex1.x.example",
        "Исходные заголовки сообщения:",
    ],
    [
        "Dostarczanie do następujących adresatów lub grup nie powiodło się:",
        "Nie można odnaleźć wprowadzonego adresu e-mail.",
        "Informacje diagnostyczne dla administratorów:",
        "Serwer generujący: ex1.x.example",
        "Oryginalne nagłówki wiadomości:",
    ],
    [
        "Det gick inte att leverera till följande mottagare eller grupper:",
        "E-postadressen du angav kunde inte hittas.",
        "Diagnosinformation för administratörer:",
        "Genererande server: ex1.x.example",
        "Ursprungliga brevhuvuden:",
    ],
    [
        "Şu alıcılara veya gruplara teslim edilemedi:",
        "Girdiğiniz e-posta adresi bulunamadı.",
        "Yöneticiler için tanılama bilgileri:",
        "Oluşturan sunucu: ex1.x.example",
        "Özgün ileti üstbilgileri:",
    ],
];

const HEADERS: &str = "Received: from c.x.example by ex1.x.example; Mon, 23 Nov 2026 10:00:00 +0100\nDate: Mon, 23 Nov 2026 10:00:00 +0100\nFrom: Ann <ann@x.example>\nTo: Bob <bob@y.example>\nSubject: Invoice\nMessage-ID: <1.a@x.example>\n";

#[track_caller]
fn check(kind: &str, body: &str) {
    let message = format!(
        "Return-Path: <>\nFrom: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@x.example>\nTo: ann@x.example\nSubject: ?\nContent-Type: {kind}; charset=utf-8\n\n{body}"
    );
    let report = read(message.as_bytes()).unwrap_or_else(|| panic!("no report: {body}"));
    let recipients: Vec<_> = report.recipients.iter().map(|it| (it.address.as_str(), it.status, it.reply_code)).collect();
    assert_eq!(recipients, [("bob@y.example", Some((5, 1, 1)), Some(550))], "{body}");
    assert_eq!(report.original_message_id.as_deref(), Some("1.a@x.example"), "{body}");
    assert_eq!((report.format, report.reporting_mta.as_deref()), ("exchange", Some("ex1.x.example")), "{body}");
    assert_eq!(report.original_subject.as_deref(), Some("Invoice"), "{body}");
}

#[test]
fn text() {
    for [fails, why, diagnosis, server, headers] in LANGUAGES {
        for said in [
            "bob@y.example\nmx.y.example\nRemote Server returned '550 5.1.1 <bob@y.example>: Recipient address rejected: User unknown'",
            "bob@y.example\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##",
        ] {
            check(
                "text/plain",
                &format!(
                    "{fails}\n\nbob@y.example<mailto:bob@y.example>\n{why}\n\n\n{diagnosis}\n\n{server}\n\n{said}\n\n{headers}\n\n{HEADERS}\n"
                ),
            );
        }
    }
}

#[test]
fn html() {
    let escaped = HEADERS.replace('<', "&lt;").replace('>', "&gt;");
    for [fails, why, diagnosis, server, headers] in LANGUAGES {
        check(
            "text/html",
            &format!(
                "<html><body><p><b>{fails}</b></p><p><a href=\"mailto:bob@y.example\">Bob</a><br>{why}</p><p>{diagnosis}</p><p>{server}</p><p>bob@y.example<br>#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##</p><p>{headers}</p><pre>{escaped}</pre></body></html>"
            ),
        );
    }
}
